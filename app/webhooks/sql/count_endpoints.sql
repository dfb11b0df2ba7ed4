-- How many endpoints does this tenant have?
SELECT count(*) FROM webhook_endpoints WHERE tenant_id = :tenant_id AND deleted_at IS NULL
