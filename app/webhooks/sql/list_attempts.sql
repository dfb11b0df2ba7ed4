-- What was tried of this delivery, in order?
SELECT attempt, at, outcome, status_code, duration_seconds, address, detail, answer FROM webhook_attempts
WHERE delivery_id = :delivery_id ORDER BY attempt
