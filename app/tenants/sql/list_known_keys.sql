-- Which keys with these hashes are neither revoked nor expired?
SELECT
    key.hash, key.id AS key_id, key.tenant_id, tenant.name AS tenant_name, key.scopes,
    tenant.suspended_at IS NOT NULL AS suspended,
    tenant.models, tenant.max_price_micro, tenant.default_price_micro,
    tenant.refused_per_minute, tenant.rate_per_minute, tenant.burst, key.rate_per_minute AS key_rate_per_minute, key.burst AS key_burst,
    extract(epoch FROM key.expires_at - now())::float8 AS left_seconds
FROM api_keys AS key
JOIN tenants AS tenant ON tenant.id = key.tenant_id
WHERE key.hash = ANY(:hashes) AND key.revoked_at IS NULL AND (key.expires_at IS NULL OR key.expires_at > now())
