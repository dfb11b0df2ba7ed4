-- Which jobs are unknown, and whose attempt did the recovery create?
-- Jobs with a worker's attempt are included: its answer may have been lost, too.
SELECT
    job.id, job.tenant_id, job.attempt, job.model, job.created_at, input.body,
    -- whether this recovery created the attempt
    tried.worker = :recoverer AND tried.sent_at >= :since AS made_up
FROM jobs AS job
JOIN attempts AS tried ON tried.job_id = job.id AND tried.attempt = job.attempt
JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.state = 'unknown'
ORDER BY job.created_at, job.id
