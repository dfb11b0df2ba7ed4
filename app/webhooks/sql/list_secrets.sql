-- Which secrets sign for these owners now, newest first?
SELECT secret.tenant_id, secret.endpoint_id, secret.id, secret.sealed
FROM unnest(:tenant_ids::uuid[], :endpoint_ids::uuid[]) AS asked (tenant_id, endpoint_id)
JOIN webhook_secrets AS secret ON secret.tenant_id = asked.tenant_id
    AND secret.endpoint_id IS NOT DISTINCT FROM asked.endpoint_id
WHERE secret.expires_at IS NULL OR secret.expires_at > now()
ORDER BY secret.expires_at DESC NULLS FIRST
