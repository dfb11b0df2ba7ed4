-- Is this endpoint, whose receiver has failed for days or wants no more, disabled now? It gives no row if it was before.
UPDATE webhook_targets SET disabled_at = now(), disabled_reason = :reason
WHERE id = :endpoint_id AND disabled_at IS NULL
RETURNING id
