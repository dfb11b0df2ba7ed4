-- Which jobs of a tenant with the first of these members of metadata come next, newest first?
WITH {{ page_bound }}, candidates AS NOT MATERIALIZED (
    SELECT job_id AS id, created_at FROM job_metadata
    WHERE tenant_id = :tenant_id AND term = metadata_term((:keys::text[])[1], (:values::text[])[1])
        AND {{ within_bounds(id=job_id) }}
    {{ newest }}
), {{ page }}
