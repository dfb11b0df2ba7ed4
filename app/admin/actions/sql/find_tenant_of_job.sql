-- Whose job is this?
SELECT tenant_id FROM jobs WHERE id = :job_id
