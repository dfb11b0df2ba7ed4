-- Which jobs of a tenant in this final state are on the next page, newest first?
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM jobs
    WHERE tenant_id = :tenant_id AND finished_at IS NOT NULL AND state = (:states::text[])[1]
        AND {{ within_bounds(id=id) }}
    {{ newest }}
), {{ page }}
