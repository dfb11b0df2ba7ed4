-- Which attempts does this delivery have, in order?
SELECT attempt, at, outcome, status_code, duration_seconds, address, detail, answer FROM webhook_attempts
WHERE delivery_id = :delivery_id ORDER BY attempt
