-- How does unspent credit return to its lots?
WITH asked AS (
    SELECT * FROM unnest(:tenant_id::uuid[], :lot_id::uuid[], :amount::bigint[]) AS t (tenant_id, lot_id, amount)
), filled AS (
    UPDATE lots SET left_micro = left_micro + summed.amount
    FROM (SELECT lot_id, sum(amount)::bigint AS amount FROM asked GROUP BY lot_id) AS summed WHERE lots.id = summed.lot_id
)
UPDATE balances SET expiring = expiring + summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
