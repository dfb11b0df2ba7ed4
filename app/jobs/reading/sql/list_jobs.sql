-- Which jobs of a tenant are on the next page, newest first?
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM jobs WHERE tenant_id = :tenant_id AND {{ within_bounds(id=id) }} {{ newest }}
), {{ page }}
