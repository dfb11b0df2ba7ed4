-- Is this endpoint disabled now, and was it not before?
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = :reason WHERE id = :endpoint_id AND disabled_at IS NULL RETURNING id
