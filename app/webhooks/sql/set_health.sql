-- What is the new health of this target?
UPDATE webhook_targets SET
    failures = :failures, slow_failures = :slow_failures, spell_failures = :spell_failures, open_until = :open_until,
    failed_since = :failed_since, failing_since = :failing_since, succeeded_at = :succeeded_at
WHERE id = :target_id
