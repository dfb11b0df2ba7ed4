-- Which queued jobs of a tenant are on the next page, newest first?
-- Jobs that are ready and jobs that are not have an index each. OFFSET 0: see list_jobs_of_model.
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT id, created_at FROM (
        (
            SELECT id, created_at FROM (
                SELECT id, created_at FROM jobs WHERE tenant_id = :tenant_id AND ready OFFSET 0
            ) AS few WHERE {{ within_bounds(id=id) }} {{ newest }}
        ) UNION ALL (
            SELECT id, created_at FROM jobs
            WHERE tenant_id = :tenant_id AND state = 'queued' AND NOT ready AND {{ within_bounds(id=id) }}
            {{ newest }}
        )
    ) AS part
    {{ newest }}
), {{ page }}
