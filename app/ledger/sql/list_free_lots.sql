-- Which lots of these tenants have credit left?
SELECT id, tenant_id, left_micro FROM lots
WHERE tenant_id = ANY(:tenant_ids::uuid[]) AND left_micro > 0
ORDER BY tenant_id, expires_at, id
