-- How many seconds ago did the pause begin that is over and is deleted now?
UPDATE upstream_state AS state SET
    paused_until = NULL, paused_since = NULL, paused_reason = NULL, paused_detail = NULL, pauses = 0, updated_at = now()
FROM (
    SELECT id, paused_since FROM upstream_state WHERE paused_reason IS NOT NULL AND paused_until <= now() FOR UPDATE
) AS before
WHERE state.id = before.id
RETURNING extract(epoch FROM now() - before.paused_since)::double precision
