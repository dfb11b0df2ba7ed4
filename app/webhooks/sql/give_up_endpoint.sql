-- Is this endpoint disabled now, because its receiver has failed for days or answered 410?
-- No row if it was disabled before.
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = :reason
WHERE id = :endpoint_id AND disabled_at IS NULL
RETURNING id
