-- What is the charge of this job of a tenant?
SELECT charged_micro FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id
