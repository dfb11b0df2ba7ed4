-- The CTEs that store the inputs and the webhooks of the jobs of the CTE `accepted`.
inputs AS (
    INSERT INTO job_inputs (job_id, body, metadata) SELECT id, body, metadata FROM accepted
), webhooks AS (
    INSERT INTO job_webhooks (job_id, target_id, url, events)
    SELECT id, webhook_target_id, webhook_url, string_to_array(webhook_events, ',') FROM accepted WHERE webhook_url IS NOT NULL
)
