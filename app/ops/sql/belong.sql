-- Which deliveries lack an event or target, or have one of another tenant?
WITH found AS (
    SELECT delivery.id FROM webhook_deliveries AS delivery
    LEFT JOIN webhook_events AS event ON event.id = delivery.event_id AND event.tenant_id = delivery.tenant_id
    LEFT JOIN webhook_targets AS target ON target.id = delivery.target_id AND target.tenant_id = delivery.tenant_id
    WHERE event.id IS NULL OR target.id IS NULL OR event.type <> delivery.type
        OR event.job_id IS DISTINCT FROM delivery.job_id
), counted AS (
    SELECT count(*) AS number FROM webhook_deliveries
), {{ proof }}
