-- Which claims are released, with nothing sent and no attempt opened, and when are their jobs due again?
-- The owner is compared because another worker's claim may have the same fence: see open_attempts.
WITH held AS (
    SELECT asked.*, {{ was }}
    FROM jobs AS job JOIN unnest(
        :id::uuid[], :fence::bigint[], :due_seconds::double precision[], :detail::text[], :duration_seconds::double precision[]
    ) AS asked (id, fence, due_seconds, detail, duration_seconds) ON asked.id = job.id AND asked.fence = job.fence
    WHERE job.state = 'queued' AND job.owner = :owner
    ORDER BY job.id
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL, due_at = now() + make_interval(secs => before.due_seconds),
        ready = before.due_seconds <= 0, retries = least(jobs.retries + 1, 1000), takeovers = 0
    FROM held AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, jobs.attempt, before.duration_seconds, before.detail
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
INSERT INTO upstream_exchanges (kind, job_id, attempt, outcome, duration_seconds, detail)
SELECT 'submit', id, attempt, 'not_sent', duration_seconds, detail FROM moved
