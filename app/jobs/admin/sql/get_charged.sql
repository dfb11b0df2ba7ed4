-- What was this job of a tenant charged?
SELECT charged_micro FROM jobs WHERE id = :job_id AND tenant_id = :tenant_id
