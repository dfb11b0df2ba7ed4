CREATE VIEW ops.requests AS
SELECT
    job.created_at AS received_at,
    tenant.name AS tenant,
    job.tenant_id,
    job.key_id,
    job.surface,
    job.model,
    CASE job.surface WHEN 'native' THEN 202 ELSE 200 END AS status_code,
    'accepted' AS code,
    1::bigint AS count,
    job.id AS job_id
FROM jobs AS job
JOIN tenants AS tenant ON tenant.id = job.tenant_id
UNION ALL
SELECT
    refusal.received_at,
    tenant.name,
    refusal.tenant_id,
    refusal.key_id,
    refusal.surface,
    refusal.model,
    refusal.status_code::integer,
    refusal.code,
    refusal.count,
    refusal.job_id
FROM refusals AS refusal
LEFT JOIN tenants AS tenant ON tenant.id = refusal.tenant_id

COMMENT ON VIEW ops.requests IS 'Every submit: one row for each accepted one; refused and replayed ones share a row a minute where they are equal, and count.'

COMMENT ON COLUMN ops.requests.received_at IS 'When it came; for a row that counts several, the first of them.'

COMMENT ON COLUMN ops.requests.tenant IS 'Name of the tenant; null where the key was not good.'

COMMENT ON COLUMN ops.requests.tenant_id IS 'Id of the tenant; null where the key was not good.'

COMMENT ON COLUMN ops.requests.key_id IS 'Id of the API key used.'

COMMENT ON COLUMN ops.requests.surface IS 'Which door: segmind (POST /v2), segmind_sync (POST /v1) or native (POST /api/v1/jobs).'

COMMENT ON COLUMN ops.requests.model IS 'Model asked for; null where the key was not good or no model could be read.'

COMMENT ON COLUMN ops.requests.status_code IS 'HTTP status of the answer.'

COMMENT ON COLUMN ops.requests.code IS 'accepted, replayed (an idempotency key seen before), or why it was refused.'

COMMENT ON COLUMN ops.requests.count IS 'How many equal requests the row stands for.'

COMMENT ON COLUMN ops.requests.job_id IS 'The job it became, or was replayed from; null when refused.'
