-- Which jobs with a known request were sent in this window for this model, with their parameters?
SELECT job.id AS job_id, job.attempt, job.tenant_id, job.model, job.sent_at, input.body
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.sent_at >= :since AND job.sent_at < :until AND job.model = :model AND job.upstream_id IS NOT NULL
LIMIT :jobs_max
