-- Which due deliveries are claimed, at most :deliveries_max?
-- Targets take turns. Each target is limited by its slots, each tenant by :slots_tenant. Deliveries of a target that is paused
-- are not read. The targets are locked, so that two workers cannot both fill the slots of one: the second worker skips it, and
-- claims again at the next notification or sweep.
WITH RECURSIVE waiting AS (
    -- Each target with pending deliveries, by one index look-up for each. The last row is null.
    (SELECT target_id FROM webhook_deliveries WHERE status = 'pending' ORDER BY target_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT next.target_id FROM webhook_deliveries AS next
        WHERE next.status = 'pending' AND next.target_id > waiting.target_id ORDER BY next.target_id LIMIT 1
    )
    FROM waiting WHERE waiting.target_id IS NOT NULL
), busy AS MATERIALIZED (
    -- the slots in use
    SELECT tenant_id, target_id, count(*) AS sending FROM webhook_deliveries WHERE status = 'sending' GROUP BY 1, 2
), open AS MATERIALIZED (
    -- The targets that may be called now, locked, with their free slots. After :breaker_failures slow failures a target gets one
    -- delivery at a time, which tests whether it answers again.
    SELECT
        target.id, target.tenant_id,
        CASE
            WHEN target.slow_failures >= :breaker_failures THEN 1
            WHEN target.failures = 0 AND target.succeeded_at IS NOT NULL THEN :slots_healthy
            ELSE :slots_unknown
        END - coalesce((SELECT sending FROM busy WHERE busy.target_id = target.id), 0) AS slots
    FROM webhook_targets AS target
    WHERE target.id = ANY (ARRAY(SELECT target_id FROM waiting WHERE target_id IS NOT NULL))
        AND target.disabled_at IS NULL AND (target.open_until IS NULL OR target.open_until <= now())
        AND EXISTS (
            SELECT FROM webhook_deliveries AS due
            WHERE due.target_id = target.id AND due.status = 'pending' AND due.due_at <= now()
        )
    FOR NO KEY UPDATE SKIP LOCKED
), turns AS (
    -- The deliveries that fit into these slots. The first deliveries of all targets come before the second ones.
    SELECT due.id, open.tenant_id, due.turn, due.due_at,
        row_number() OVER (PARTITION BY open.tenant_id ORDER BY due.turn, due.due_at) AS turn_of_tenant
    FROM open CROSS JOIN LATERAL (
        SELECT id, due_at, row_number() OVER (ORDER BY due_at) AS turn FROM (
            SELECT id, due_at FROM webhook_deliveries
            WHERE target_id = open.id AND status = 'pending' AND due_at <= now()
            ORDER BY due_at LIMIT greatest(open.slots, 0)
        ) AS first
    ) AS due
), chosen AS (
    SELECT id FROM turns
    WHERE turn_of_tenant
        <= :slots_tenant::integer - coalesce((SELECT sum(sending) FROM busy WHERE busy.tenant_id = turns.tenant_id), 0)
    ORDER BY turn, due_at LIMIT :deliveries_max
), taken AS (
    UPDATE webhook_deliveries AS delivery SET
        status = 'sending', due_at = NULL, lease_until = now() + make_interval(secs => :lease_seconds), owner = :owner,
        fence = delivery.fence + 1, attempts = delivery.attempts + 1
    WHERE delivery.id = ANY (ARRAY(SELECT id FROM chosen)) AND delivery.status = 'pending'
    RETURNING id, fence, attempts, step, event_id, target_id, tenant_id, job_id, type, url
)
SELECT
    taken.id, taken.fence, taken.attempts, taken.step, taken.event_id, taken.target_id, taken.tenant_id, taken.job_id,
    taken.type, taken.url IS NULL AS to_endpoint, coalesce(taken.url, endpoint.url) AS url, event.sequence,
    event.created_at, event.body
FROM taken
JOIN webhook_events AS event ON event.id = taken.event_id
LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = taken.target_id
