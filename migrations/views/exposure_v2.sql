CREATE OR REPLACE VIEW ops.exposure AS
SELECT
    exposure.job_id,
    tenant.name AS tenant,
    exposure.tenant_id,
    round(exposure.amount / 1000000.0, 6) AS amount,
    exposure.reason,
    exposure.at,
    exposure.upstream_id
FROM exposures AS exposure
LEFT JOIN tenants AS tenant ON tenant.id = exposure.tenant_id

COMMENT ON VIEW ops.exposure IS 'What the upstream charged, or may have charged, that no tenant pays.'

COMMENT ON COLUMN ops.exposure.job_id IS 'The job it came from; null: unassigned, nobody knows which of several it was.'

COMMENT ON COLUMN ops.exposure.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.exposure.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.exposure.amount IS 'Credits; where nobody has told, the job''s hold.'

COMMENT ON COLUMN ops.exposure.reason IS 'cost_above_hold, cost_above_price, failed, lost, unknown, second_start, corrected (the truth about an expected amount; may be below 0) or unassigned.'

COMMENT ON COLUMN ops.exposure.at IS 'When it was recorded.'

COMMENT ON COLUMN ops.exposure.upstream_id IS 'The upstream''s id, if it is not the job''s own.'
