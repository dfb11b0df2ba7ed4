-- Which stored jobs have the id or the idempotency key of these new jobs?
SELECT asked.id AS asked_id, job.id, job.fingerprint, job.created_at, job.state
FROM unnest(:job_ids::uuid[], :tenant_ids::uuid[], :idempotency_keys::text[]) AS asked (id, tenant_id, idempotency_key)
JOIN jobs AS job ON job.id = asked.id
UNION ALL
SELECT asked.id, job.id, job.fingerprint, job.created_at, job.state
FROM unnest(:job_ids::uuid[], :tenant_ids::uuid[], :idempotency_keys::text[]) AS asked (id, tenant_id, idempotency_key)
JOIN jobs AS job ON job.tenant_id = asked.tenant_id AND job.idempotency_key = asked.idempotency_key
-- the first SELECT has these
WHERE job.id <> asked.id
