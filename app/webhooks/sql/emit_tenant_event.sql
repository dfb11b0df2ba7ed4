-- Which deliveries are inserted for an event of a tenant?
-- It goes to the endpoints that want its type, or only to :endpoint_id.
WITH counted AS (
    INSERT INTO event_feeds AS feed (tenant_id, last) VALUES (:tenant_id, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET last = feed.last + 1
    RETURNING last
), events AS (
    INSERT INTO webhook_events (id, tenant_id, position, sequence, type, body)
    SELECT :event_id, :tenant_id, last, 1, :type, :body FROM counted
)
INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, due_at, type, status)
SELECT gen_random_uuid(), :tenant_id, :event_id, endpoint.id, now(), :type, 'pending'
FROM webhook_endpoints AS endpoint JOIN webhook_targets AS target ON target.id = endpoint.id
WHERE endpoint.tenant_id = :tenant_id AND endpoint.deleted_at IS NULL AND target.disabled_at IS NULL
    AND CASE WHEN :endpoint_id::uuid IS NULL THEN :type = ANY (endpoint.events) ELSE endpoint.id = :endpoint_id END
RETURNING id
