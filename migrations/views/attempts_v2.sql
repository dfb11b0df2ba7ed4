CREATE OR REPLACE VIEW ops.attempts AS
SELECT
    attempt.job_id,
    job.tenant_id,
    tenant.name AS tenant,
    attempt.attempt,
    attempt.outcome,
    attempt.sent_at,
    attempt.settled_at,
    attempt.upstream_id,
    attempt.worker AS worker_id,
    attempt.resolution,
    extract(epoch FROM attempt.resolved_at - attempt.sent_at)::double precision AS resolved_after_seconds,
    attempt.contested
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

COMMENT ON COLUMN ops.attempts.resolution IS 'How an unknown outcome was resolved: adopted (found in the upstream''s history), proven_absent (it never arrived), timed_out or operator; null: not yet, or the upstream''s own answer came.'

COMMENT ON COLUMN ops.attempts.resolved_after_seconds IS 'Seconds from sending to that resolution.'

COMMENT ON COLUMN ops.attempts.contested IS 'Whether a request of the history may be this attempt''s or another tenant''s, so that nobody gets it.'
