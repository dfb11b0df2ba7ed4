-- What are the balances of these tenants, locked until the transaction ends?
SELECT
    tenant_id, granted, posted, held, overdraft, expiring,
    EXISTS (SELECT FROM lots WHERE lots.tenant_id = balances.tenant_id) AS has_lots,
    EXISTS (
        SELECT FROM lots
        WHERE lots.tenant_id = balances.tenant_id AND lots.expired_at IS NULL AND lots.expires_at <= now()
    ) AS expires,
    EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
FROM balances WHERE tenant_id = ANY(:tenant_ids::uuid[])
ORDER BY tenant_id
FOR UPDATE OF balances
