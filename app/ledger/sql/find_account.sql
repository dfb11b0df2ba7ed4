-- What is a tenant's balance now, without a lock?
-- Credit in lots that are due to expire counts as expired.
SELECT
    tenant_id, granted - due.amount AS granted, posted, held, overdraft, expiring - due.amount AS expiring,
    EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
FROM balances CROSS JOIN LATERAL (
    SELECT coalesce(sum(left_micro), 0)::bigint AS amount FROM lots
    WHERE lots.tenant_id = balances.tenant_id AND lots.expired_at IS NULL AND lots.expires_at <= now()
) AS due
WHERE tenant_id = :tenant_id
