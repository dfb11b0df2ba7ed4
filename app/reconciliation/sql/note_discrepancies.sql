-- Which of these discrepancies are new?
-- Equal ones are one row. A settled one that occurs again is open again.
WITH asked AS (
    SELECT DISTINCT ON (kind, subject) * FROM unnest(
        :kind::text[], :subject::text[], :job_id::uuid[], :tenant_id::uuid[], :upstream_id::text[], :model::text[],
        :ours_micro::bigint[], :theirs_micro::bigint[], :happened_at::timestamptz[]
    ) AS t (kind, subject, job_id, tenant_id, upstream_id, model, ours_micro, theirs_micro, happened_at)
    ORDER BY kind, subject
)
INSERT INTO discrepancies AS kept (
    kind, subject, job_id, tenant_id, upstream_id, model, ours_micro, theirs_micro, happened_at
)
SELECT kind, subject, job_id, tenant_id, upstream_id, model, ours_micro, theirs_micro, happened_at FROM asked
ON CONFLICT (kind, subject) DO UPDATE SET
    job_id = excluded.job_id, tenant_id = excluded.tenant_id, model = coalesce(excluded.model, kept.model),
    ours_micro = excluded.ours_micro, theirs_micro = excluded.theirs_micro, last_seen_at = now(), settled_at = NULL,
    accepted_at = CASE WHEN {{ same }} THEN kept.accepted_at END,
    accepted_note = CASE WHEN {{ same }} THEN kept.accepted_note END
RETURNING first_seen_at = now() AS is_new
