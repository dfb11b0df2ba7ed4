-- Which jobs with their own URL have an event that it receives, but no delivery of it?
WITH found AS (
    SELECT hook.job_id AS id
    FROM job_webhooks AS hook
    JOIN webhook_events AS event ON event.job_id = hook.job_id AND event.type = ANY (hook.events)
    LEFT JOIN webhook_deliveries AS delivery ON delivery.event_id = event.id AND delivery.target_id = hook.target_id
    WHERE delivery.id IS NULL
), counted AS (
    SELECT count(*) AS number FROM job_webhooks
), {{ proof_of_jobs }}
