-- Which lots of these tenants are due to expire, and what is left in them?
-- The caller has locked the balances.
SELECT id, tenant_id, left_micro FROM lots
WHERE tenant_id = ANY(:tenant_ids::uuid[]) AND expired_at IS NULL AND expires_at <= now()
ORDER BY tenant_id, id
