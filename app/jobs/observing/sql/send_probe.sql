-- May this pause still send this job as its probe?
-- If so, the job becomes ready. The pause is locked before the job.
WITH chosen AS (
    UPDATE pauses SET probe_job_id = :job_id, probe_at = now() + make_interval(secs => :seconds)
    WHERE id = :pause_id AND probe_at IS NOT NULL AND probe_job_id IS NOT DISTINCT FROM :probe_job_id
    RETURNING probe_job_id
), parked AS (
    SELECT job.id, {{ was }} FROM jobs AS job JOIN chosen ON chosen.probe_job_id = job.id
    WHERE job.state = 'queued' AND NOT job.ready AND job.due_at = 'infinity'
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET due_at = jobs.created_at, ready = true FROM parked AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT count(*) FROM moved
