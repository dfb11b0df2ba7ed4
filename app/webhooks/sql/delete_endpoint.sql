-- Which endpoint of this tenant is deleted?
UPDATE webhook_endpoints SET deleted_at = now()
WHERE id = :endpoint_id AND tenant_id = :tenant_id AND deleted_at IS NULL
