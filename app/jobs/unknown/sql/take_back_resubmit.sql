-- Does this job, which is queued to be sent once more, become unknown again, because its first request has appeared?
-- Not if a worker is about to send it.
WITH asked AS ({{ adoptions }}), queued AS (
    SELECT job.id, {{ was }}, job.attempt
    FROM jobs AS job JOIN asked ON asked.job_id = job.id AND asked.attempt = job.attempt
    JOIN attempts AS attempt ON attempt.job_id = job.id AND attempt.attempt = job.attempt
    WHERE job.state = 'queued' AND job.owner IS NULL AND attempt.resolution = 'proven_absent' AND {{ is_free }}
    FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET resolution = NULL, resolved_at = NULL
    FROM queued WHERE attempts.job_id = queued.id AND attempts.attempt = queued.attempt
), moved AS (
    UPDATE jobs SET state = 'unknown', revision = before.was_revision + 1, ready = false, due_at = now() + interval '1 hour'
    FROM queued AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'request_late' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id FROM moved
