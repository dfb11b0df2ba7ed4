CREATE VIEW ops.attempts AS
SELECT
    attempt.job_id,
    job.tenant_id,
    tenant.name AS tenant,
    attempt.attempt,
    attempt.outcome,
    attempt.sent_at,
    attempt.settled_at,
    attempt.upstream_id,
    attempt.worker AS worker_id
FROM attempts AS attempt
JOIN jobs AS job ON job.id = attempt.job_id
JOIN tenants AS tenant ON tenant.id = job.tenant_id

COMMENT ON VIEW ops.attempts IS 'Every numbered try at getting a job started upstream; committed just before its first byte is sent.'

COMMENT ON COLUMN ops.attempts.job_id IS 'Id of the job.'

COMMENT ON COLUMN ops.attempts.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.attempts.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.attempts.attempt IS '1, 2, 3 … of the job.'

COMMENT ON COLUMN ops.attempts.outcome IS 'accepted, rejected, throttled, account, not_sent or unknown; null: on the wire.'

COMMENT ON COLUMN ops.attempts.sent_at IS 'When it was committed, just before the first byte.'

COMMENT ON COLUMN ops.attempts.settled_at IS 'When its outcome was recorded.'

COMMENT ON COLUMN ops.attempts.upstream_id IS 'The request id the upstream answered with.'

COMMENT ON COLUMN ops.attempts.worker_id IS 'Incarnation of the worker that made it.'
