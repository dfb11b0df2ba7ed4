CREATE OR REPLACE VIEW ops.jobs AS
SELECT
    job.id AS job_id,
    tenant.name AS tenant,
    job.tenant_id,
    job.key_id,
    job.surface,
    job.model,
    CASE
        WHEN job.state IN ('sending', 'unknown', 'running') THEN 'PROCESSING'
        ELSE upper(job.state)
    END AS status,
    job.state,
    job.priority,
    job.created_at,
    job.submitted_at,
    job.started_at,
    job.finished_at,
    job.cancel_requested_at,
    job.deadline_at,
    job.upstream_id,
    job.attempt AS attempts,
    job.polls,
    job.error_code,
    round(job.cost_micro / 1000000.0, 6) AS upstream_cost,
    extract(epoch FROM job.submitted_at - job.created_at)::double precision AS queue_seconds,
    job.run_seconds AS upstream_seconds,
    job.detection_seconds,
    round(job.held_micro / 1000000.0, 6) AS held,
    round(job.charged_micro / 1000000.0, 6) AS charged,
    job.price_rule,
    CASE WHEN job.finished_at IS NULL THEN round(job.held_micro / 1000000.0, 6) ELSE 0.000000 END AS hold_now
FROM jobs AS job
JOIN tenants AS tenant ON tenant.id = job.tenant_id

COMMENT ON VIEW ops.jobs IS 'Every accepted job, with where it stands and how long each part took.'

COMMENT ON COLUMN ops.jobs.job_id IS 'Id of the job (job_ and these 32 hex digits in the API).'

COMMENT ON COLUMN ops.jobs.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.jobs.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.jobs.key_id IS 'Id of the API key that submitted it.'

COMMENT ON COLUMN ops.jobs.surface IS 'Which door it came through: segmind, segmind_sync or native.'

COMMENT ON COLUMN ops.jobs.model IS 'Slug of the model.'

COMMENT ON COLUMN ops.jobs.status IS 'As the API shows it: QUEUED, PROCESSING, COMPLETED, FAILED or CANCELED.'

COMMENT ON COLUMN ops.jobs.state IS 'The engine''s finer word: queued, sending, unknown, running, completed, failed or canceled.'

COMMENT ON COLUMN ops.jobs.priority IS '0 to 9; higher goes first.'

COMMENT ON COLUMN ops.jobs.created_at IS 'When it was accepted.'

COMMENT ON COLUMN ops.jobs.submitted_at IS 'When the upstream''s acceptance was recorded.'

COMMENT ON COLUMN ops.jobs.started_at IS 'When it was first seen PROCESSING upstream.'

COMMENT ON COLUMN ops.jobs.finished_at IS 'When its end was recorded.'

COMMENT ON COLUMN ops.jobs.cancel_requested_at IS 'When the tenant asked to cancel it.'

COMMENT ON COLUMN ops.jobs.deadline_at IS 'After this it is not sent any more.'

COMMENT ON COLUMN ops.jobs.upstream_id IS 'The upstream''s request id.'

COMMENT ON COLUMN ops.jobs.attempts IS 'Attempts opened; each may have reached the upstream unless its outcome says otherwise.'

COMMENT ON COLUMN ops.jobs.polls IS 'How often the upstream was asked about it.'

COMMENT ON COLUMN ops.jobs.error_code IS 'Why it FAILED.'

COMMENT ON COLUMN ops.jobs.upstream_cost IS 'Credits the upstream reported for it; null: it did not say.'

COMMENT ON COLUMN ops.jobs.queue_seconds IS 'From acceptance here to acceptance upstream.'

COMMENT ON COLUMN ops.jobs.upstream_seconds IS 'From acceptance upstream to its end there.'

COMMENT ON COLUMN ops.jobs.detection_seconds IS 'From its end upstream until we had recorded it.'

COMMENT ON COLUMN ops.jobs.held IS 'Credits held for it when it was accepted; it stays when the job has finished.'

COMMENT ON COLUMN ops.jobs.charged IS 'Credits its tenant has paid for it.'

COMMENT ON COLUMN ops.jobs.price_rule IS 'metered: charged what the upstream reports, times the mark-up; fixed: charged the price.'

COMMENT ON COLUMN ops.jobs.hold_now IS 'Credits held for it now: 0 once it has finished.'
