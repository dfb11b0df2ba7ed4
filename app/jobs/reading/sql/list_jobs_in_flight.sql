-- Which jobs in flight of a tenant are on the next page, newest first?
-- The states are written as in the conditions of the partial indexes, which have the jobs in flight of all tenants.
-- OFFSET 0: see list_jobs_of_model.
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM (
        SELECT id, created_at FROM jobs
        WHERE tenant_id = :tenant_id AND (state = 'sending' OR state = 'unknown' OR state = 'running') OFFSET 0
    ) AS few WHERE {{ within_bounds(id=id) }} {{ newest }}
), {{ page }}
