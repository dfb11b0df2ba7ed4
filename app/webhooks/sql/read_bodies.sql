-- Which frozen bodies do these events have?
SELECT id, body FROM webhook_events WHERE id = ANY (:event_ids::uuid[]) AND body IS NOT NULL
