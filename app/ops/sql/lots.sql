-- Which tenants have lots that do not match their balance, their grant, or what expired?
WITH found AS (
    SELECT balance.tenant_id AS id
    FROM balances AS balance
    LEFT JOIN (SELECT tenant_id, sum(left_micro) AS amount FROM lots GROUP BY tenant_id) AS lot USING (tenant_id)
    WHERE balance.expiring <> coalesce(lot.amount, 0)
    UNION ALL
    SELECT lot.tenant_id FROM lots AS lot LEFT JOIN transfers AS made ON made.id = lot.id AND made.kind = 'grant'
    WHERE made.amount IS DISTINCT FROM lot.amount
    UNION ALL
    SELECT gone.tenant_id FROM (
        SELECT lot_id, tenant_id, sum(amount) AS amount FROM transfers WHERE kind = 'expire' GROUP BY lot_id, tenant_id
    ) AS gone LEFT JOIN lots AS lot ON lot.id = gone.lot_id
    WHERE lot.id IS NULL OR gone.amount + lot.left_micro > lot.amount
), counted AS (
    SELECT count(*) AS number FROM lots
), {{ proof }}
