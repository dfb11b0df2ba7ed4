-- Which bodies do these events have, as far as they have one?
SELECT id, body FROM webhook_events WHERE id = ANY (:event_ids::uuid[]) AND body IS NOT NULL
