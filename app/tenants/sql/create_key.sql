-- Which key is created?
INSERT INTO api_keys (id, tenant_id, name, prefix, hash, scopes, expires_at)
VALUES (:key_id, :tenant_id, :name, :prefix, :hash, :scopes, :expires_at)
RETURNING {{ key_columns }}
