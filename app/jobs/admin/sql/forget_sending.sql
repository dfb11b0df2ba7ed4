-- Which jobs are in state sending, so that they become unknown?
-- Their workers may no longer wait for the answers.
WITH due AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.state = 'sending' AND job.created_at < :before
    LIMIT :jobs_max FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, lease_until = NULL, owner = NULL,
        fence = jobs.fence + :fence_step, due_at = now() + make_interval(secs => :unknown_max_seconds)
    FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'recovered' AS event_reason, jobs.attempt
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, settled AS (
    UPDATE attempts SET outcome = 'unknown', settled_at = now()
    FROM moved WHERE attempts.job_id = moved.id AND attempts.attempt = moved.attempt AND attempts.outcome IS NULL
)
SELECT count(*) FROM moved
