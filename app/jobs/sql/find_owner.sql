-- Which tenant has this job, and what does the database's clock say?
SELECT extract(epoch FROM clock_timestamp())::double precision AS at, tenant_id FROM jobs WHERE id = :job_id
