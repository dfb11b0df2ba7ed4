-- Is this endpoint of a tenant enabled?
-- No row if the tenant has no such endpoint.
SELECT target.disabled_at IS NULL
FROM webhook_endpoints AS endpoint JOIN webhook_targets AS target ON target.id = endpoint.id
WHERE endpoint.id = :endpoint_id AND endpoint.tenant_id = :tenant_id AND endpoint.deleted_at IS NULL
