-- How many jobs of a tenant does each filter have, counted up to :count_max?
SELECT
    ARRAY(
        SELECT (
            SELECT count(*) FROM (
                SELECT FROM job_metadata AS term
                WHERE term.tenant_id = :tenant_id AND term.term = metadata_term(wanted.key, wanted.value)
                LIMIT :count_max
            ) AS counted
        ) FROM unnest(:keys::text[], :values::text[]) WITH ORDINALITY AS wanted (key, value, place) ORDER BY place
    ) AS metadata,
    CASE WHEN :final_state::text IS NULL THEN NULL ELSE (
        SELECT count(*) FROM (
            SELECT FROM jobs AS job
            WHERE job.tenant_id = :tenant_id AND job.finished_at IS NOT NULL AND job.state = :final_state LIMIT :count_max
        ) AS counted
    ) END AS finished,
    CASE WHEN :model::text IS NULL THEN NULL ELSE (
        SELECT count(*) FROM (
            SELECT FROM jobs AS job
            WHERE job.tenant_id = :tenant_id AND job.finished_at IS NOT NULL AND job.model = :model LIMIT :count_max
        ) AS counted
    ) END AS model,
    (SELECT queued FROM queues WHERE subject_id = :tenant_id) AS queued,
    (SELECT in_flight FROM queues WHERE subject_id = :tenant_id) AS in_flight
