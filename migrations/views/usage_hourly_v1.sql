CREATE VIEW ops.usage_hourly AS
SELECT
    usage.hour,
    tenant.name AS tenant,
    usage.tenant_id,
    usage.key_id,
    usage.model,
    usage.completed,
    usage.failed,
    usage.canceled,
    round(usage.charged_micro / 1000000.0, 6) AS charged,
    round(usage.cost_micro / 1000000.0, 6) AS upstream_cost,
    usage.run_seconds
FROM usage_hours AS usage
JOIN tenants AS tenant ON tenant.id = usage.tenant_id

COMMENT ON VIEW ops.usage_hourly IS 'Jobs that ended, by hour, tenant, key and model: how many, how, and what they cost.'

COMMENT ON COLUMN ops.usage_hourly.hour IS 'The hour of UTC in which they ended.'

COMMENT ON COLUMN ops.usage_hourly.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.usage_hourly.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.usage_hourly.key_id IS 'Id of the API key that submitted them.'

COMMENT ON COLUMN ops.usage_hourly.model IS 'Slug of the model.'

COMMENT ON COLUMN ops.usage_hourly.completed IS 'How many COMPLETED.'

COMMENT ON COLUMN ops.usage_hourly.failed IS 'How many FAILED.'

COMMENT ON COLUMN ops.usage_hourly.canceled IS 'How many were CANCELED.'

COMMENT ON COLUMN ops.usage_hourly.charged IS 'Credits charged to the tenant.'

COMMENT ON COLUMN ops.usage_hourly.upstream_cost IS 'Credits the upstream reported.'

COMMENT ON COLUMN ops.usage_hourly.run_seconds IS 'Time the completed ones ran upstream, summed.'
