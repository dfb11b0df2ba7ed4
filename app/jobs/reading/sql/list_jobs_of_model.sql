-- Which jobs of a tenant and a model are on the next page, newest first?
-- Each part has its own index, and no job is in two parts. OFFSET 0 forces the planner to read all jobs of the part by that
-- index and then sort them: otherwise it would search all jobs of the tenant.
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM (
        (
            SELECT id, created_at FROM jobs
            WHERE tenant_id = :tenant_id AND finished_at IS NOT NULL AND model = :model AND {{ within_bounds(id=id) }}
            {{ newest }}
        ) UNION ALL (
            SELECT id, created_at FROM (
                SELECT id, created_at FROM jobs WHERE tenant_id = :tenant_id AND ready AND model = :model OFFSET 0
            ) AS few WHERE {{ within_bounds(id=id) }} {{ newest }}
        ) UNION ALL (
            SELECT id, created_at FROM jobs
            WHERE tenant_id = :tenant_id AND state = 'queued' AND NOT ready AND model = :model AND {{ within_bounds(id=id) }}
            {{ newest }}
        ) UNION ALL (
            SELECT id, created_at FROM (
                SELECT id, created_at FROM jobs
                WHERE tenant_id = :tenant_id AND (state = 'sending' OR state = 'unknown' OR state = 'running')
                    AND model = :model OFFSET 0
            ) AS few WHERE {{ within_bounds(id=id) }} {{ newest }}
        )
    ) AS part
    {{ newest }}
), {{ page }}
