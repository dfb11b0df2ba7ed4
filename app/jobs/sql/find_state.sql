-- Which state has this job of a tenant?
SELECT state FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id
