-- Which jobs lost their sender during the submit?
-- The submit may have reached the upstream, so the job becomes unknown.
WITH due AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.state = 'sending' AND job.lease_until < now()
    ORDER BY job.sent_at LIMIT :jobs_max FOR UPDATE OF job SKIP LOCKED
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, lease_until = NULL, owner = NULL,
        due_at = now() + make_interval(secs => :unknown_max_seconds)
    FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'lease_expired' AS event_reason, jobs.attempt, jobs.model
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, settled AS (
    UPDATE attempts SET outcome = 'unknown', settled_at = now()
    FROM moved WHERE attempts.job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.outcome IS NULL
)
SELECT id, model FROM moved
