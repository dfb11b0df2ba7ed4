-- Whose job is this, and what did the upstream's error say as it came?
SELECT job.tenant_id, result.original FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = :job_id
