-- Which secret of this owner is the newest?
SELECT id, sealed FROM webhook_secrets
WHERE tenant_id = :tenant_id AND endpoint_id IS NOT DISTINCT FROM :endpoint_id AND expires_at IS NULL
