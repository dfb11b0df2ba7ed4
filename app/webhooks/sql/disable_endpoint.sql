-- Which endpoint does its tenant disable, unless it is disabled already?
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = 'tenant' WHERE id = :endpoint_id AND disabled_at IS NULL
