-- Which delivered deliveries lack an attempt answered with 2xx, while attempts are kept?
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
