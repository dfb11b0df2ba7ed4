-- What do these holds draw from lots?
WITH asked AS (
    SELECT * FROM unnest(:hold_id::uuid[], :lot_id::uuid[], :amount::bigint[], :tenant_id::uuid[]) AS t (hold_id, lot_id, amount, tenant_id)
), kept AS (
    INSERT INTO allocations (hold_id, lot_id, amount) SELECT hold_id, lot_id, amount FROM asked
), emptied AS (
    UPDATE lots SET left_micro = left_micro - summed.amount
    FROM (SELECT lot_id, sum(amount)::bigint AS amount FROM asked GROUP BY lot_id) AS summed WHERE lots.id = summed.lot_id
)
UPDATE balances SET expiring = expiring - summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
