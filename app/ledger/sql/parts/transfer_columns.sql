-- The columns of a Transfer, in its order; of `transfers`, in a SELECT or after RETURNING.
id, tenant_id, kind, amount, job_id, hold_id, reference, note, expires_at, created_at
