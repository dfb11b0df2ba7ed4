-- The columns of an ApiKey, in its order; of `api_keys`, in a SELECT or after RETURNING.
id, tenant_id, (SELECT tenants.name FROM tenants WHERE tenants.id = tenant_id) AS tenant_name, name, prefix,
scopes, created_at, expires_at, revoked_at, rate_per_minute, burst, max_in_flight, max_queued
