-- Which jobs are unknown, and for which of them did the recovery create the attempt?
-- Attempts that a worker opened are included: their answers may have been lost with the lost time.
SELECT
    job.id, job.tenant_id, job.attempt, job.model, job.created_at, input.body,
    -- whether this recovery created the attempt
    tried.worker = :recoverer AND tried.sent_at >= :since AS made_up
FROM jobs AS job
JOIN attempts AS tried ON tried.job_id = job.id AND tried.attempt = job.attempt
JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.state = 'unknown'
ORDER BY job.created_at, job.id
