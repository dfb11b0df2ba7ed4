-- Which jobs of a tenant with these members of metadata are on the next page, newest first?
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT job_id AS id, created_at FROM job_metadata
    WHERE tenant_id = :tenant_id AND term = metadata_term((:keys::text[])[1], (:values::text[])[1])
        AND {{ within_bounds(id=job_id) }}
    {{ newest }}
), {{ page }}
