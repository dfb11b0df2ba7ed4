-- Which deliveries were attempted although their event has no stored body?
WITH found AS (
    SELECT delivery.id FROM webhook_deliveries AS delivery JOIN webhook_events AS event ON event.id = delivery.event_id
    WHERE event.body IS NULL AND (delivery.status = 'delivered' OR delivery.last_status_code IS NOT NULL)
), counted AS (
    SELECT count(*) AS number FROM webhook_deliveries
), {{ proof }}
