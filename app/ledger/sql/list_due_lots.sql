-- Which lots of these tenants are over?
-- What is free in lots whose time is over? The balances are locked.
SELECT id, tenant_id, left_micro FROM lots
WHERE tenant_id = ANY(:tenant_ids::uuid[]) AND expired_at IS NULL AND expires_at <= now()
ORDER BY tenant_id, id
