-- What is the state of this job of a tenant?
SELECT state FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id
