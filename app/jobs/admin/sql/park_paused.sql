-- Which due jobs does a pause of their tenant or model hold, that are not parked yet?
WITH held AS (
    SELECT * FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL FOR SHARE
), due AS (
    SELECT job.id, {{ was }} FROM jobs AS job
    WHERE (
            (job.ready AND job.owner IS NULL)
            OR (job.state = 'running' AND job.due_at <= now() AND (job.lease_until IS NULL OR job.lease_until < now()))
        )
        AND EXISTS (
            SELECT FROM held
            WHERE (held.tenant_id IS NULL OR held.tenant_id = job.tenant_id)
                AND (held.model IS NULL OR held.model = job.model)
                AND (held.what = 'all' OR job.state = 'queued')
                AND held.probe_job_id IS DISTINCT FROM job.id
        )
    LIMIT :jobs_max
    FOR UPDATE OF job SKIP LOCKED
), moved AS (
    UPDATE jobs SET due_at = 'infinity', ready = false FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT count(*) FROM moved
