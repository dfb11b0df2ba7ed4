-- Which events of a tenant come after this position?
SELECT id, type, job_id, sequence, position, created_at, body FROM webhook_events
WHERE tenant_id = :tenant_id AND position > :after ORDER BY position LIMIT :limit
