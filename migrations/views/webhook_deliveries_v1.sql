CREATE VIEW ops.webhook_deliveries AS
SELECT
    delivery.id AS delivery_id,
    delivery.event_id,
    endpoint.id AS endpoint_id,
    delivery.job_id,
    tenant.name AS tenant,
    delivery.tenant_id,
    delivery.type,
    delivery.status,
    delivery.attempts,
    delivery.created_at,
    delivery.due_at AS next_attempt_at,
    delivery.delivered_at,
    delivery.last_status_code::integer AS last_status_code,
    delivery.last_error
FROM webhook_deliveries AS delivery
JOIN tenants AS tenant ON tenant.id = delivery.tenant_id
LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = delivery.target_id

COMMENT ON VIEW ops.webhook_deliveries IS 'Every event owed to an endpoint or to the URL of a job, and how far its delivery has come.'

COMMENT ON COLUMN ops.webhook_deliveries.delivery_id IS 'Id of the delivery (dlv_ and these 32 hex digits in the API).'

COMMENT ON COLUMN ops.webhook_deliveries.event_id IS 'Id of the event; the receiver sees it as webhook-id.'

COMMENT ON COLUMN ops.webhook_deliveries.endpoint_id IS 'Id of the endpoint; null: it goes to the URL that its job was submitted with.'

COMMENT ON COLUMN ops.webhook_deliveries.job_id IS 'Id of the job; null for events of the tenant.'

COMMENT ON COLUMN ops.webhook_deliveries.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.webhook_deliveries.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.webhook_deliveries.type IS 'What happened: job.completed, job.failed and so on.'

COMMENT ON COLUMN ops.webhook_deliveries.status IS 'pending: waits for its next attempt; sending: on the wire; delivered: answered with 2xx; exhausted: given up.'

COMMENT ON COLUMN ops.webhook_deliveries.attempts IS 'POSTs begun.'

COMMENT ON COLUMN ops.webhook_deliveries.created_at IS 'When the event was recorded, in the transaction that ended the job.'

COMMENT ON COLUMN ops.webhook_deliveries.next_attempt_at IS 'When it is tried next; null unless pending.'

COMMENT ON COLUMN ops.webhook_deliveries.delivered_at IS 'When the receiver had answered with 2xx, the latest time.'

COMMENT ON COLUMN ops.webhook_deliveries.last_status_code IS 'What the receiver answered last; null: it gave no answer.'

COMMENT ON COLUMN ops.webhook_deliveries.last_error IS 'Why the last attempt failed, or why it was given up.'
