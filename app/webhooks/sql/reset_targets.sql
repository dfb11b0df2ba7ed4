-- Which of these targets, whose attempts have just succeeded, are marked as healthy?
-- A healthy target is updated at most once a minute.
UPDATE webhook_targets SET
    failures = 0, slow_failures = 0, spell_failures = 0, open_until = NULL, failed_since = NULL, failing_since = NULL,
    succeeded_at = now()
WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_targets
    WHERE id = ANY (:target_ids::uuid[])
        AND (failures > 0 OR succeeded_at IS NULL OR succeeded_at < now() - interval '1 minute')
    ORDER BY id FOR NO KEY UPDATE
))
