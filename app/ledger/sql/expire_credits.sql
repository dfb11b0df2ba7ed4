-- How is expired credit removed from balances?
-- `expiring` does not contain credit that comes back from a hold.
WITH asked AS (
    SELECT * FROM unnest(:id::uuid[], :tenant_id::uuid[], :lot_id::uuid[], :amount::bigint[], :job_id::uuid[], :was_free::boolean[])
        AS t (id, tenant_id, lot_id, amount, job_id, was_free)
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, lot_id, job_id)
    SELECT id, tenant_id, 'expire', amount, lot_id, job_id FROM asked
), summed AS (
    SELECT tenant_id, sum(amount)::bigint AS amount, sum(amount) FILTER (WHERE was_free)::bigint AS freed
    FROM asked GROUP BY tenant_id
)
UPDATE balances SET granted = granted - summed.amount, expiring = expiring - coalesce(summed.freed, 0)
FROM summed WHERE balances.tenant_id = summed.tenant_id
