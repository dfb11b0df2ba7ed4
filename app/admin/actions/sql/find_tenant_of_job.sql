-- Which tenant owns this job?
SELECT tenant_id FROM jobs WHERE id = :job_id
