-- Which deliveries, delivered within the time that attempts are kept, lack an attempt answered with 2xx?
WITH found AS (
    SELECT delivery.id FROM webhook_deliveries AS delivery
    WHERE delivery.status = 'delivered' AND delivery.delivered_at > coalesce(:at::timestamptz, now()) - interval '50 days'
        AND NOT EXISTS (
            SELECT FROM webhook_attempts AS attempt
            WHERE attempt.delivery_id = delivery.id AND attempt.outcome = 'delivered'
        )
), counted AS (
    SELECT count(*) AS number FROM webhook_deliveries WHERE status = 'delivered'
), {{ proof }}
