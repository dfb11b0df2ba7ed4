-- Which balances differ from the sum of their transfers?
WITH found AS (
    SELECT coalesce(balance.tenant_id, fold.tenant_id) AS id FROM balances AS balance
    FULL JOIN (
        {{ fold }}
    ) AS fold ON fold.tenant_id = balance.tenant_id
    WHERE balance.tenant_id IS NULL OR (balance.granted, balance.posted, balance.held)
        IS DISTINCT FROM (coalesce(fold.granted, 0), coalesce(fold.posted, 0), coalesce(fold.held, 0))
), counted AS (
    SELECT count(*) AS number FROM transfers
), {{ proof }}
