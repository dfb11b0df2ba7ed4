-- Which endpoint is enabled, with its health reset?
UPDATE webhook_targets SET
    disabled_at = NULL, disabled_reason = NULL, failures = 0, slow_failures = 0, spell_failures = 0, open_until = NULL,
    failed_since = NULL, failing_since = NULL
WHERE id = :endpoint_id
