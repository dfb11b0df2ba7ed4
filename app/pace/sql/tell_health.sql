-- How did the last exchange of each job end, by what this process reports now?
-- Only the transaction that holds the row of upstream_state runs this, so two never run at the same time.
WITH gone AS (
    DELETE FROM upstream_health WHERE at < now() - make_interval(secs => :kept_seconds)
)
INSERT INTO upstream_health AS kept (job_id, tenant_id, model, at, failed)
SELECT job_id, tenant_id, model, to_timestamp(at), failed
FROM unnest(:job_id::uuid[], :tenant_id::uuid[], :model::text[], :at::double precision[], :failed::boolean[])
    AS t (job_id, tenant_id, model, at, failed)
WHERE to_timestamp(at) > now() - make_interval(secs => :kept_seconds)
ON CONFLICT (job_id) DO UPDATE SET at = excluded.at, failed = excluded.failed WHERE kept.at < excluded.at
