-- Which attempts sent since then may have arrived?
-- An attempt of a recovered job may have been sent at any time since the job was accepted, also more than once.
WITH unknown AS (
    SELECT job_id, attempt FROM attempts WHERE outcome = 'unknown' AND sent_at >= :since
    UNION ALL
    SELECT id, attempt FROM jobs WHERE state = 'sending'
)
SELECT
    attempt.job_id, attempt.attempt, job.attempt AS last_attempt, job.tenant_id, job.model, job.state, attempt.sent_at,
    job.created_at, attempt.resolution, attempt.outcome IS NULL AS on_the_wire, recovered.is_so AS recovered,
    CASE
        WHEN attempt.sender_done THEN coalesce(attempt.settled_at, now())
        WHEN holder.id IS NULL THEN attempt.sent_at
        WHEN holder.beat_at < now() - make_interval(secs => :dead_seconds) THEN greatest(holder.beat_at, attempt.sent_at)
    END AS quiet_at
FROM unknown
JOIN attempts AS attempt ON attempt.job_id = unknown.job_id AND attempt.attempt = unknown.attempt
JOIN jobs AS job ON job.id = attempt.job_id
LEFT JOIN processes AS holder ON holder.id = attempt.worker
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM job_events AS event WHERE event.job_id = job.id AND event.reason = 'recovered') AS is_so
) AS recovered
WHERE attempt.upstream_id IS NULL
ORDER BY attempt.sent_at LIMIT :candidates_max
