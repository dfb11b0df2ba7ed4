-- Which jobs with a known request were sent in this window for this model?
SELECT id AS job_id, attempt, tenant_id, model, sent_at
FROM jobs
WHERE sent_at >= :since AND sent_at < :until AND model = :model AND upstream_id IS NOT NULL
    AND EXISTS (SELECT FROM job_inputs WHERE job_id = jobs.id)
LIMIT :jobs_max
