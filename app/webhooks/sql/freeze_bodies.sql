-- Which of these events have no body yet, and get these bodies?
UPDATE webhook_events AS event SET body = asked.body
FROM unnest(:id::uuid[], :body::bytea[]) AS asked (id, body)
WHERE event.id = asked.id AND event.body IS NULL
