-- Which deliveries were taken by processes that are dead by now?
WITH left_behind AS (
    UPDATE webhook_deliveries SET
        status = 'pending', due_at = now(), lease_until = NULL, owner = NULL, last_error = 'interrupted'
    WHERE status = 'sending' AND lease_until < now()
    RETURNING id, attempts
)
{{ given_back }}
