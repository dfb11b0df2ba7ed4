-- What is the health of these targets, locked in the order of their ids until the transaction ends?
SELECT
    target.id, target.tenant_id, target.kind, target.failures, target.slow_failures, target.spell_failures,
    target.open_until, target.failed_since, target.failing_since, target.succeeded_at, target.disabled_at, now() AS now,
    endpoint.url
FROM webhook_targets AS target LEFT JOIN webhook_endpoints AS endpoint ON endpoint.id = target.id
WHERE target.id = ANY (:target_ids::uuid[]) ORDER BY target.id FOR NO KEY UPDATE OF target
