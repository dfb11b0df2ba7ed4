-- Whose submission is unknown? Those that a worker had opened, too: their answers may have been lost with the time.
SELECT
    job.id, job.tenant_id, job.attempt, job.model, job.created_at, input.body,
    -- the recovery's own attempt, made since then
    tried.worker = :recoverer AND tried.sent_at >= :since AS made_up
FROM jobs AS job
JOIN attempts AS tried ON tried.job_id = job.id AND tried.attempt = job.attempt
JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.state = 'unknown'
ORDER BY job.created_at, job.id
