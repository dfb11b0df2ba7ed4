-- What is the state of a tenant's line, its ready jobs by rank?
-- Returns the counts, the first jobs, the jobs sent before the first one (the latest jobs if no job waits), and what stops the
-- line. Claimed jobs are in the line until they are sent.
WITH line AS MATERIALIZED (
    SELECT rank_at, model, rank_at + priority * interval '1 minute' AS since
    FROM jobs WHERE tenant_id = :tenant_id AND ready ORDER BY rank_at LIMIT :ranks_max
), head AS MATERIALIZED (
    SELECT since FROM line ORDER BY rank_at LIMIT 1
), before AS MATERIALIZED (
    SELECT model, sent_at, finished_at FROM jobs
    WHERE tenant_id = :tenant_id AND created_at <= coalesce((SELECT since FROM head), now())
    ORDER BY created_at DESC LIMIT :recent_max
)
SELECT
    extract(epoch FROM now())::double precision AS read_at,
    queue.queued, queue.ready, queue.claimed, queue.in_flight, queue.max_in_flight, queue.max_queued,
    ARRAY(SELECT extract(epoch FROM rank_at)::double precision FROM line ORDER BY rank_at) AS ranks,
    (
        SELECT extract(epoch FROM rank_at)::double precision FROM jobs
        WHERE tenant_id = :tenant_id AND ready ORDER BY rank_at DESC LIMIT 1
    ) AS last_rank,
    ARRAY(SELECT model FROM line ORDER BY rank_at LIMIT :places_max) AS models,
    extract(epoch FROM now() - (SELECT since FROM head))::double precision AS waited_seconds,
    sent.models AS sent_models, sent.sent_at, sent.finished_at,
    ARRAY(
        SELECT coalesce(model, '') FROM pauses WHERE tenant_id IS NULL OR tenant_id = :tenant_id
    ) AS paused,
    ARRAY(
        SELECT model FROM pauses WHERE probe_at IS NOT NULL AND (tenant_id IS NULL OR tenant_id = :tenant_id)
    ) AS forbidden,
    CASE WHEN upstream.paused_reason IS NULL AND upstream.broken_at IS NULL
        THEN extract(epoch FROM upstream.resume_at - now())::double precision ELSE 'infinity'
    END AS upstream_paused_seconds
FROM queues AS queue
CROSS JOIN upstream_state AS upstream
CROSS JOIN (
    SELECT
        array_agg(model) AS models, array_agg(extract(epoch FROM sent_at)::double precision) AS sent_at,
        array_agg(extract(epoch FROM finished_at)::double precision) AS finished_at
    FROM before WHERE sent_at IS NOT NULL
) AS sent
WHERE queue.subject_id = :tenant_id
