-- May this unknown job run with the upstream's request?
-- `submitted_at` is the time of the sending, from which the upstream's hour counts.
WITH unknown AS (
    SELECT job.id, {{ was }}, job.attempt FROM jobs AS job
    WHERE job.id = :job_id AND job.state = 'unknown'
        AND NOT EXISTS (SELECT FROM upstream_observations WHERE upstream_id = :upstream_id AND job_id <> :job_id)
    FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET outcome = 'accepted', settled_at = now(), upstream_id = :upstream_id
    FROM unknown WHERE attempts.job_id = unknown.id AND attempts.attempt = unknown.attempt
), moved AS (
    UPDATE jobs SET state = 'running', revision = before.was_revision + 1, upstream_id = :upstream_id,
        upstream_state = 'QUEUED', submitted_at = coalesce(jobs.sent_at, now()), due_at = now(), retries = 0, takeovers = 0
    FROM unknown AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'adopted' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id FROM unknown
