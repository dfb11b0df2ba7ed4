CREATE VIEW ops.job_events AS
SELECT
    event.job_id,
    job.tenant_id,
    tenant.name AS tenant,
    event.seq,
    event.at,
    CASE
        WHEN event.from_state IN ('sending', 'unknown', 'running') THEN 'PROCESSING'
        ELSE upper(event.from_state)
    END AS from_status,
    CASE
        WHEN event.to_state IN ('sending', 'unknown', 'running') THEN 'PROCESSING'
        ELSE upper(event.to_state)
    END AS to_status,
    event.from_state,
    event.to_state,
    event.reason
FROM job_events AS event
JOIN jobs AS job ON job.id = event.job_id
JOIN tenants AS tenant ON tenant.id = job.tenant_id

COMMENT ON VIEW ops.job_events IS 'Every change of state of every job, in order of seq.'

COMMENT ON COLUMN ops.job_events.job_id IS 'Id of the job.'

COMMENT ON COLUMN ops.job_events.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.job_events.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.job_events.seq IS '1, 2, 3 … of the job.'

COMMENT ON COLUMN ops.job_events.at IS 'When it was recorded.'

COMMENT ON COLUMN ops.job_events.from_status IS 'Status before, as the API shows it; null for the first.'

COMMENT ON COLUMN ops.job_events.to_status IS 'Status after, as the API shows it.'

COMMENT ON COLUMN ops.job_events.from_state IS 'The engine''s finer word before.'

COMMENT ON COLUMN ops.job_events.to_state IS 'The engine''s finer word after.'

COMMENT ON COLUMN ops.job_events.reason IS 'What caused it: submitted, sending, accepted, processing, not_sent, throttled, lease_expired …'
