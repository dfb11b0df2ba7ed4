-- How many deliveries to this endpoint become due: exhausted ones, and those of events while it was disabled?
WITH wanted AS (
    SELECT event.id, event.job_id, event.type
    FROM webhook_events AS event JOIN webhook_endpoints AS endpoint ON endpoint.id = :endpoint_id
    WHERE event.tenant_id = :tenant_id AND event.created_at >= greatest(:since, endpoint.created_at)
        AND event.type = ANY (endpoint.events)
), again AS (
    UPDATE webhook_deliveries AS delivery SET status = 'pending', due_at = now(), step = 0
    FROM wanted
    WHERE delivery.event_id = wanted.id AND delivery.target_id = :endpoint_id AND delivery.status = 'exhausted'
    RETURNING delivery.id
), missed AS (
    INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, job_id, due_at, type, status)
    SELECT gen_random_uuid(), :tenant_id, id, :endpoint_id, job_id, now(), type, 'pending' FROM wanted
    -- the endpoint has a delivery of this event already
    ON CONFLICT (event_id, target_id) DO NOTHING
    RETURNING id
)
SELECT (SELECT count(*) FROM again) + (SELECT count(*) FROM missed)
