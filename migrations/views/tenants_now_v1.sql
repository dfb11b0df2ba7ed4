CREATE VIEW ops.tenants_now AS
SELECT
    tenant.name AS tenant,
    tenant.id AS tenant_id,
    tenant.weight,
    tenant.rate_per_minute,
    tenant.burst,
    queue.queued,
    queue.max_queued,
    queue.ready,
    queue.in_flight,
    queue.max_in_flight,
    queue.oldest_seconds,
    round((balance.granted - balance.posted - balance.held) / 1000000.0, 6) AS available,
    tenant.suspended_at IS NOT NULL AS suspended,
    EXISTS (
        SELECT FROM pauses AS pause
        WHERE (pause.tenant_id IS NULL OR pause.tenant_id = tenant.id) AND pause.model IS NULL
    ) AS paused,
    coalesce(refused.requests, 0)::bigint AS refused_last_minute,
    coalesce(refused.codes, '{}'::jsonb) AS refused_codes
FROM tenants AS tenant
JOIN (
    SELECT now.*, counts.max_queued, counts.max_in_flight
    FROM ops.queue_now AS now JOIN queues AS counts ON counts.subject_id = now.tenant_id
) AS queue ON queue.tenant_id = tenant.id
JOIN balances AS balance ON balance.tenant_id = tenant.id
LEFT JOIN (
    SELECT by_code.tenant_id, sum(by_code.requests) AS requests, jsonb_object_agg(by_code.code, by_code.requests) AS codes
    FROM (
        SELECT refusal.tenant_id, refusal.code, sum(refusal.count) AS requests FROM refusals AS refusal
        WHERE refusal.received_at >= date_trunc('minute', now() - interval '1 minute')
            AND refusal.last_at > now() - interval '1 minute'
            AND refusal.code <> 'replayed' AND refusal.tenant_id IS NOT NULL
        GROUP BY refusal.tenant_id, refusal.code
    ) AS by_code
    GROUP BY by_code.tenant_id
) AS refused ON refused.tenant_id = tenant.id

COMMENT ON VIEW ops.tenants_now IS 'Each tenant at this moment beside its limits. Costs what ops.queue_now does, and a look at the refusals of the last minute.'

COMMENT ON COLUMN ops.tenants_now.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.tenants_now.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.tenants_now.weight IS 'Its share of what all tenants may spend upstream, beside the others'' weights.'

COMMENT ON COLUMN ops.tenants_now.rate_per_minute IS 'Submits it may make in a minute.'

COMMENT ON COLUMN ops.tenants_now.burst IS 'Submits it may make at once, after a rest.'

COMMENT ON COLUMN ops.tenants_now.queued IS 'Jobs not yet sent.'

COMMENT ON COLUMN ops.tenants_now.max_queued IS 'How many may be; more are refused.'

COMMENT ON COLUMN ops.tenants_now.ready IS 'Of those not yet sent: the ones that stand in line, neither paused nor due later.'

COMMENT ON COLUMN ops.tenants_now.in_flight IS 'Jobs sent and not finished.'

COMMENT ON COLUMN ops.tenants_now.max_in_flight IS 'How many may be; more wait.'

COMMENT ON COLUMN ops.tenants_now.oldest_seconds IS 'Age of the oldest job not yet sent, as in ops.queue_now.'

COMMENT ON COLUMN ops.tenants_now.available IS 'Credits it may still spend, without its overdraft.'

COMMENT ON COLUMN ops.tenants_now.suspended IS 'Whether it may only read.'

COMMENT ON COLUMN ops.tenants_now.paused IS 'Whether an operator has paused all it sends; pauses of single models: ops.pauses.'

COMMENT ON COLUMN ops.tenants_now.refused_last_minute IS 'Submits refused in the calendar minutes that the last sixty seconds touch, as far as they share a row with one of these seconds.'

COMMENT ON COLUMN ops.tenants_now.refused_codes IS 'The same by reason: {"rate_limited": 12, "queue_full": 3}.'
