-- Whose key is good no longer? Revoked twice, it keeps the first instant.
UPDATE operators SET revoked_at = coalesce(revoked_at, now()) WHERE id = :operator_id RETURNING {{ operator_columns }}
