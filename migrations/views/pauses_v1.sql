CREATE VIEW ops.pauses AS
SELECT
    pause.tenant_id,
    tenant.name AS tenant,
    pause.model,
    pause.what,
    pause.since,
    pause.paused_by,
    pause.note
FROM pauses AS pause
LEFT JOIN tenants AS tenant ON tenant.id = pause.tenant_id

COMMENT ON VIEW ops.pauses IS 'What operators have paused: accepted jobs wait there until it is resumed. No rows: nothing.'

COMMENT ON COLUMN ops.pauses.tenant_id IS 'Id of the tenant; null: of every tenant.'

COMMENT ON COLUMN ops.pauses.tenant IS 'Name of the tenant; null: of every tenant.'

COMMENT ON COLUMN ops.pauses.model IS 'Slug of the model; null: every model.'

COMMENT ON COLUMN ops.pauses.what IS 'submits: nothing is sent. all: the upstream is not asked about running jobs either.'

COMMENT ON COLUMN ops.pauses.since IS 'Since when.'

COMMENT ON COLUMN ops.pauses.paused_by IS 'Who said so last.'

COMMENT ON COLUMN ops.pauses.note IS 'Why, in their words.'
