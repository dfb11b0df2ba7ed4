-- The columns of an Operator, in a SELECT from operators or after RETURNING.
id, name, role, prefix, created_at, revoked_at
