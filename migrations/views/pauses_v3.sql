CREATE OR REPLACE VIEW ops.pauses AS
SELECT
    pause.tenant_id,
    tenant.name AS tenant,
    pause.model,
    pause.what,
    pause.since,
    pause.paused_by,
    pause.note,
    pause.probe_at AS next_probe_at,
    pause.probe_job_id,
    pause.refusals AS refused_probes,
    pause.reason
FROM pauses AS pause
LEFT JOIN tenants AS tenant ON tenant.id = pause.tenant_id

COMMENT ON VIEW ops.pauses IS 'What is paused, by operators or because the upstream answers 403: accepted jobs wait there until it is lifted. No rows: nothing.'

COMMENT ON COLUMN ops.pauses.tenant_id IS 'Id of the tenant; null: of every tenant.'

COMMENT ON COLUMN ops.pauses.tenant IS 'Name of the tenant; null: of every tenant.'

COMMENT ON COLUMN ops.pauses.model IS 'Slug of the model; null: every model.'

COMMENT ON COLUMN ops.pauses.what IS 'submits: nothing is sent. all: the upstream is not asked about running jobs either.'

COMMENT ON COLUMN ops.pauses.since IS 'Since when.'

COMMENT ON COLUMN ops.pauses.paused_by IS 'Who said so last; upstream: it answered submits of the model with 403.'

COMMENT ON COLUMN ops.pauses.note IS 'Why, in their words; of a pause by the upstream, what it answered.'

COMMENT ON COLUMN ops.pauses.next_probe_at IS 'Of a pause by the upstream: when one waiting job may be sent next, to find out whether it is over. Null: it ends when an operator lifts it.'

COMMENT ON COLUMN ops.pauses.probe_job_id IS 'Id of the job that is being sent, to find that out. Null: none at the moment.'

COMMENT ON COLUMN ops.pauses.refused_probes IS 'How many such jobs in a row were answered 403, and failed.'

COMMENT ON COLUMN ops.pauses.reason IS 'restored: the database may be older than what was sent; waystation recover ends it. Null: any other pause.'
