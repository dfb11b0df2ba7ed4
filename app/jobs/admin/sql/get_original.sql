-- Which tenant does this job belong to, and what is the upstream's original error?
SELECT job.tenant_id, result.original FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = :job_id
