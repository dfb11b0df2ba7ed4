-- Which balances differ from the sum of their transfers?
-- The sum is the one that `verify` uses.
SELECT
    balance.tenant_id, balance.granted - balance.posted - balance.held AS available,
    (coalesce(fold.granted, 0) - coalesce(fold.posted, 0) - coalesce(fold.held, 0))::bigint AS fold
FROM balances AS balance LEFT JOIN (
    {{ fold }}
) AS fold ON fold.tenant_id = balance.tenant_id
WHERE (balance.granted, balance.posted, balance.held)
    IS DISTINCT FROM (coalesce(fold.granted, 0), coalesce(fold.posted, 0), coalesce(fold.held, 0))
