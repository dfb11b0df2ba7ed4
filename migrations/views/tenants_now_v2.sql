CREATE OR REPLACE VIEW ops.tenants_now AS
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
    coalesce(refused.codes, '{}'::jsonb) AS refused_codes,
    coalesce(tenant.refused_per_minute, least(10::bigint * tenant.rate_per_minute, 10000000))::integer AS refused_per_minute
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

COMMENT ON COLUMN ops.tenants_now.refused_per_minute IS 'How many of its submits a minute may be refused; beyond that every one is.'
