-- Which of these targets, which have just answered well, are marked as healthy?
-- One that is healthy already is written to once a minute at most.
UPDATE webhook_targets SET
    failures = 0, slow_failures = 0, spell_failures = 0, open_until = NULL, failed_since = NULL, failing_since = NULL,
    succeeded_at = now()
WHERE id = ANY (ARRAY(
    SELECT id FROM webhook_targets
    WHERE id = ANY (:target_ids::uuid[])
        AND (failures > 0 OR succeeded_at IS NULL OR succeeded_at < now() - interval '1 minute')
    ORDER BY id FOR NO KEY UPDATE
))
