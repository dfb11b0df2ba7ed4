-- Which deliveries are exhausted because their endpoint is disabled or deleted?
-- They can be recovered if the endpoint is enabled again.
WITH idle AS (
    SELECT delivery.id, endpoint.deleted_at IS NOT NULL AS deleted
    FROM webhook_targets AS target
    JOIN webhook_deliveries AS delivery ON delivery.target_id = target.id AND delivery.status = 'pending'
    LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = target.id
    WHERE target.disabled_at IS NOT NULL
    LIMIT :deliveries_max
    FOR NO KEY UPDATE OF delivery SKIP LOCKED
)
UPDATE webhook_deliveries AS delivery SET
    status = 'exhausted', due_at = NULL,
    last_error = CASE WHEN idle.deleted THEN 'endpoint_deleted' ELSE 'endpoint_disabled' END
FROM idle WHERE delivery.id = idle.id
