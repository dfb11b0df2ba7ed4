-- How is exposure inserted, once for each job, reason and upstream id?
INSERT INTO exposures (job_id, tenant_id, reason, amount, upstream_id)
SELECT * FROM unnest(:job_id::uuid[], :tenant_id::uuid[], :reason::text[], :amount::bigint[], :upstream_id::text[])
ON CONFLICT DO NOTHING
