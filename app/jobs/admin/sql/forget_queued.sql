-- Which queued jobs may have been sent in the lost time: all that were due, and all that were parked?
-- The attempt gets the number of the lost one. If a worker still has the answer of that one, its record is then accepted.
WITH due AS (
    SELECT job.id, {{ was }} FROM jobs AS job
    WHERE job.state = 'queued' AND job.created_at < :before
        AND (job.due_at <= now() + make_interval(secs => :clock_seconds) OR job.due_at = 'infinity')
    LIMIT :jobs_max FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, ready = false, attempt = jobs.attempt + 1,
        sent_at = now(), lease_until = NULL, owner = NULL, takeovers = 0, fence = jobs.fence + :fence_step,
        due_at = now() + make_interval(secs => :unknown_max_seconds)
    FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'recovered' AS event_reason, jobs.attempt
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at, settled_at, outcome)
    SELECT id, attempt, :worker, now(), now(), 'unknown' FROM moved
)
SELECT count(*) FROM moved
