-- How many deliveries are inserted for these events of jobs?
-- Each end of a job is an event with a position in its tenant's feed. The row of the feed stays locked until the commit, so that
-- no position is visible before all smaller ones. `job.processing` is an event only if an endpoint or the job's webhook wants it.
WITH asked AS (
    SELECT * FROM unnest(:id::uuid[], :tenant_id::uuid[], :job_id::uuid[], :type::text[], :sequence::integer[])
        AS t (id, tenant_id, job_id, type, sequence)
), wanted AS MATERIALIZED (
    -- the targets that want them: endpoints of the tenant, and jobs' own webhook URLs
    SELECT asked.id AS event_id, endpoint.id AS target_id, NULL AS url
    FROM asked
    JOIN webhook_endpoints AS endpoint ON endpoint.tenant_id = asked.tenant_id
        AND endpoint.deleted_at IS NULL AND asked.type = ANY (endpoint.events)
    JOIN webhook_targets AS target ON target.id = endpoint.id AND target.disabled_at IS NULL
    UNION ALL
    SELECT asked.id, hook.target_id, hook.url
    FROM asked JOIN job_webhooks AS hook ON hook.job_id = asked.job_id AND asked.type = ANY (hook.events)
), happened AS MATERIALIZED (
    -- the events that are not inserted yet
    SELECT id, tenant_id, job_id, type, sequence FROM asked
    WHERE (type <> 'job.processing' OR id IN (SELECT event_id FROM wanted))
        AND NOT EXISTS (
            SELECT FROM webhook_events AS told WHERE told.job_id = asked.job_id AND told.type = asked.type
        )
), counted AS (
    INSERT INTO event_feeds AS feed (tenant_id, last)
    SELECT tenant_id, count(*) FROM happened GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET last = feed.last + excluded.last
    RETURNING tenant_id, last
), events AS (
    INSERT INTO webhook_events (id, tenant_id, position, job_id, sequence, type)
    SELECT
        happened.id, happened.tenant_id,
        -- the highest new position belongs to the newest event
        counted.last + 1 - row_number() OVER (PARTITION BY happened.tenant_id ORDER BY happened.id DESC),
        happened.job_id, happened.sequence, happened.type
    FROM happened JOIN counted ON counted.tenant_id = happened.tenant_id
), targets AS (
    INSERT INTO webhook_targets (id, tenant_id, kind)
    SELECT DISTINCT wanted.target_id, happened.tenant_id, 'job_urls'
    FROM wanted JOIN happened ON happened.id = wanted.event_id
    WHERE wanted.url IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_targets AS known WHERE known.id = wanted.target_id)
    ORDER BY wanted.target_id
    ON CONFLICT (id) DO NOTHING
), deliveries AS (
    INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, job_id, due_at, type, status, url)
    SELECT
        gen_random_uuid(), happened.tenant_id, happened.id, wanted.target_id, happened.job_id, now(), happened.type,
        'pending', wanted.url
    FROM wanted JOIN happened ON happened.id = wanted.event_id
    RETURNING id
)
SELECT count(*) FROM deliveries
