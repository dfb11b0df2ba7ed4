-- Does this job, which is queued to be sent once more, become unknown again, because its first request has appeared?
-- Not if a worker is about to send it.
WITH queued AS (
    SELECT job.id, {{ was }} FROM jobs AS job
    WHERE job.id = :job_id AND job.state = 'queued' AND job.attempt = :attempt AND job.owner IS NULL
    FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET resolution = NULL, resolved_at = NULL FROM queued WHERE job_id = queued.id AND attempt = :attempt
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, ready = false, due_at = now() + interval '1 hour'
    FROM queued AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'request_late' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id FROM moved
