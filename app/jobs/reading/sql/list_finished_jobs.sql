-- Which jobs of a tenant that ended in this state come next, newest first?
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM jobs
    WHERE tenant_id = :tenant_id AND finished_at IS NOT NULL AND state = (:states::text[])[1]
        AND {{ within_bounds(id=id) }}
    {{ newest }}
), {{ page }}
