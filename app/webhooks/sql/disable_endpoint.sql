-- Which endpoint does its tenant disable, if it is enabled?
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = 'tenant' WHERE id = :endpoint_id AND disabled_at IS NULL
