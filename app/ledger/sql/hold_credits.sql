-- How are the holds of several jobs inserted?
-- The caller has locked the balances and checked that the holds fit.
WITH asked AS (
    SELECT * FROM unnest(:id::uuid[], :tenant_id::uuid[], :job_id::uuid[], :key_id::uuid[], :amount::bigint[])
        AS t (id, tenant_id, job_id, key_id, amount)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, key_id)
    SELECT id, tenant_id, 'hold', amount, job_id, key_id FROM asked
)
UPDATE balances SET held = held + summed.amount
FROM (SELECT tenant_id, sum(amount)::bigint AS amount FROM asked GROUP BY tenant_id) AS summed
WHERE balances.tenant_id = summed.tenant_id
