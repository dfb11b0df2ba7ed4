-- Which job has this request of the upstream without having been told so by the upstream itself?
SELECT job.id, job.tenant_id, job.key_id, job.model, job.state, attempt.attempt, job.finished_at, job.cost_micro, job.charged_micro
FROM jobs AS job JOIN attempts AS attempt ON attempt.job_id = job.id AND attempt.upstream_id = job.upstream_id
WHERE job.upstream_id = :upstream_id AND attempt.resolution IS NOT NULL
