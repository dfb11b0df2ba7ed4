-- Which parked jobs does no pause hold any more?
-- They were due before, and become ready again.
WITH parked AS (
    SELECT job.id, {{ was }} FROM jobs AS job
    WHERE job.state = 'queued' AND NOT job.ready AND job.due_at = 'infinity' AND NOT {{ submits_paused(job=job) }}
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET due_at = jobs.created_at, ready = true FROM parked AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT count(*) FROM moved
