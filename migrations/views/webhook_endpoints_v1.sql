CREATE VIEW ops.webhook_endpoints AS
SELECT
    endpoint.id AS endpoint_id,
    tenant.name AS tenant,
    endpoint.tenant_id,
    regexp_replace(endpoint.url, '[?].*', '') AS url,
    endpoint.events,
    target.disabled_at IS NULL AND endpoint.deleted_at IS NULL AS enabled,
    target.disabled_at,
    target.disabled_reason,
    target.failures,
    target.failing_since,
    target.open_until AS breaker_open_until,
    target.succeeded_at AS last_success_at,
    endpoint.created_at,
    endpoint.deleted_at
FROM webhook_endpoints AS endpoint
JOIN webhook_targets AS target ON target.id = endpoint.id
JOIN tenants AS tenant ON tenant.id = endpoint.tenant_id

COMMENT ON VIEW ops.webhook_endpoints IS 'Tenants'' URLs that events are delivered to, and how they fare.'

COMMENT ON COLUMN ops.webhook_endpoints.endpoint_id IS 'Id of the endpoint (whe_ and these 32 hex digits in the API).'

COMMENT ON COLUMN ops.webhook_endpoints.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.webhook_endpoints.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.webhook_endpoints.url IS 'Where events go, without its query, which may hold a secret.'

COMMENT ON COLUMN ops.webhook_endpoints.events IS 'Types of events it wants.'

COMMENT ON COLUMN ops.webhook_endpoints.enabled IS 'Whether events are delivered.'

COMMENT ON COLUMN ops.webhook_endpoints.disabled_at IS 'Since when none are.'

COMMENT ON COLUMN ops.webhook_endpoints.disabled_reason IS 'gone: it answered 410; failing: it failed for five days; tenant: switched off by its tenant.'

COMMENT ON COLUMN ops.webhook_endpoints.failures IS 'Failed attempts since its last success.'

COMMENT ON COLUMN ops.webhook_endpoints.failing_since IS 'Since when it has been failing without a success, once that has lasted half a day.'

COMMENT ON COLUMN ops.webhook_endpoints.breaker_open_until IS 'Nothing is sent until then, after many slow failures in a row.'

COMMENT ON COLUMN ops.webhook_endpoints.last_success_at IS 'When it last answered with 2xx, within a minute.'

COMMENT ON COLUMN ops.webhook_endpoints.created_at IS 'When it was made.'

COMMENT ON COLUMN ops.webhook_endpoints.deleted_at IS 'When it was deleted.'
