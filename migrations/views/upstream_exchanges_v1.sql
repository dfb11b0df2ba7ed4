CREATE VIEW ops.upstream_exchanges AS
SELECT
    exchange.at,
    exchange.kind,
    exchange.job_id,
    job.tenant_id,
    tenant.name AS tenant,
    exchange.attempt,
    exchange.status_code::integer AS status_code,
    exchange.outcome,
    exchange.duration_seconds,
    exchange.detail
FROM upstream_exchanges AS exchange
JOIN jobs AS job ON job.id = exchange.job_id
JOIN tenants AS tenant ON tenant.id = job.tenant_id

COMMENT ON VIEW ops.upstream_exchanges IS 'HTTP calls to the upstream: submits, state changes, finals and failures. Quiet polls are counted on the job.'

COMMENT ON COLUMN ops.upstream_exchanges.at IS 'When its outcome was recorded.'

COMMENT ON COLUMN ops.upstream_exchanges.kind IS 'submit, poll or fetch.'

COMMENT ON COLUMN ops.upstream_exchanges.job_id IS 'Id of the job.'

COMMENT ON COLUMN ops.upstream_exchanges.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.upstream_exchanges.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.upstream_exchanges.attempt IS 'Which attempt of the job it belongs to.'

COMMENT ON COLUMN ops.upstream_exchanges.status_code IS 'HTTP status; null where none was received.'

COMMENT ON COLUMN ops.upstream_exchanges.outcome IS 'What it told us: accepted, running, succeeded, failed, rejected, throttled, account, not_sent, unknown, gone or trouble.'

COMMENT ON COLUMN ops.upstream_exchanges.duration_seconds IS 'How long the call took.'

COMMENT ON COLUMN ops.upstream_exchanges.detail IS 'Why it was read that way.'
