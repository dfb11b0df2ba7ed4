-- Which running job loses its request to the job that the upstream has given it to?
-- The fence is raised so that a poll that is under way changes nothing.
WITH running AS (
    SELECT job.id, {{ was }}, job.attempt FROM jobs AS job
    WHERE job.id = :job_id AND job.state = 'running' AND job.upstream_id = :upstream_id
    FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET outcome = 'unknown', upstream_id = NULL, resolution = NULL, resolved_at = NULL
    FROM running AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, fence = jobs.fence + 1, lease_until = NULL, owner = NULL,
        upstream_id = NULL, upstream_state = NULL, submitted_at = NULL, started_at = NULL, gone_since = NULL, retries = 0,
        due_at = greatest(jobs.sent_at + make_interval(secs => :unknown_max_seconds), now() + make_interval(secs => :least_seconds))
    FROM running AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'request_given_back' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id FROM moved
