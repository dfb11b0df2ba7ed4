-- Which key is revoked?
-- One that is revoked again keeps the first instant.
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = :key_id
RETURNING {{ key_columns }}
