-- What does the upstream's own surface show of this job of a tenant?
-- A job that FAILED shows its failure there, also if a result came later.
SELECT
    job.id, job.state, job.error_code, job.charged_micro, result.message,
    CASE WHEN NOT job.late_result THEN result.body END AS body, job.withdrawn_at IS NOT NULL AS withdrawn,
    CASE WHEN job.state = 'completed' THEN (
        SELECT granted - posted - held FROM balances WHERE balances.tenant_id = job.tenant_id
    ) END AS available_micro
FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = :job_id AND job.tenant_id = :tenant_id
