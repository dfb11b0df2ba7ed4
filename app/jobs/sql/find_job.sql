-- What does the native API show of this job of a tenant?
SELECT {{ shown }}, input.body AS input, result.body
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = :job_id AND job.tenant_id = :tenant_id
