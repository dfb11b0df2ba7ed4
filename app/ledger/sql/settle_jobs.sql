-- How are the holds of ended jobs resolved and their usage counted?
-- Returns the balances, before the change, of tenants with lots or budgets, which need more statements. The balances are locked
-- in order before any write: the other CTEs wait for `locked`. A job older than the ledger has no hold to resolve.
WITH asked AS (
    SELECT * FROM unnest(
        :id::uuid[], :tenant_id::uuid[], :job_id::uuid[], :hold_id::uuid[], :kind::text[], :charged::bigint[], :ended_at::timestamptz[], :key_id::uuid[],
        :model::text[], :outcome::text[], :cost::bigint[], :run_seconds::double precision[]
    ) AS t (
        id, tenant_id, job_id, hold_id, kind, charged, ended_at, key_id, model, outcome, cost, run_seconds
    )
), locked AS MATERIALIZED (
    SELECT
        tenant_id, granted, posted, held, overdraft, expiring,
        EXISTS (SELECT FROM lots WHERE lots.tenant_id = balances.tenant_id) AS has_lots,
        EXISTS (SELECT FROM budgets WHERE budgets.tenant_id = balances.tenant_id) AS has_budgets
    FROM balances WHERE tenant_id = ANY (ARRAY(SELECT tenant_id FROM asked))
    ORDER BY tenant_id
    FOR UPDATE OF balances
), resolved AS MATERIALIZED (
    SELECT asked.*, hold.amount AS held
    FROM asked JOIN transfers AS hold ON hold.id = asked.hold_id
    WHERE (SELECT count(*) FROM locked) > 0
), made AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, hold_id)
    SELECT id, tenant_id, kind, CASE kind WHEN 'post' THEN charged ELSE held END, job_id, hold_id FROM resolved
), moved AS (
    UPDATE balances SET held = balances.held - summed.held, posted = balances.posted + summed.charged
    FROM (
        SELECT tenant_id, sum(held)::bigint AS held, sum(charged)::bigint AS charged FROM resolved GROUP BY tenant_id
    ) AS summed
    WHERE balances.tenant_id = summed.tenant_id
), counted AS (
    INSERT INTO usage_hours AS hours (
        tenant_id, hour, key_id, model, completed, failed, canceled, charged_micro, cost_micro, run_seconds
    )
    SELECT
        tenant_id, date_trunc('hour', ended_at, 'UTC'), key_id, model, count(*) FILTER (WHERE outcome = 'completed'),
        count(*) FILTER (WHERE outcome = 'failed'), count(*) FILTER (WHERE outcome = 'canceled'), sum(charged),
        coalesce(sum(cost), 0), coalesce(sum(run_seconds) FILTER (WHERE outcome = 'completed'), 0)
    FROM asked WHERE (SELECT count(*) FROM locked) > 0
    GROUP BY 1, 2, 3, 4
    ON CONFLICT ON CONSTRAINT usage_hours_key DO UPDATE SET
        completed = hours.completed + excluded.completed, failed = hours.failed + excluded.failed,
        canceled = hours.canceled + excluded.canceled, charged_micro = hours.charged_micro + excluded.charged_micro,
        cost_micro = hours.cost_micro + excluded.cost_micro, run_seconds = hours.run_seconds + excluded.run_seconds
)
SELECT tenant_id, granted, posted, held, overdraft, expiring, has_lots, has_budgets
FROM locked WHERE has_lots OR has_budgets
