-- Which operator is now revoked?
-- A second revocation keeps the first instant.
UPDATE operators SET revoked_at = coalesce(revoked_at, now()) WHERE id = :operator_id RETURNING {{ operator_columns }}
