-- Which tenant does this job belong to, and what time is it by the database's clock?
SELECT extract(epoch FROM clock_timestamp())::double precision AS at, tenant_id FROM jobs WHERE id = :job_id
