-- Which deliveries has this process taken and not finished?
-- They are due at once. Their POST may have arrived; receivers recognise events by their ids.
WITH left_behind AS (
    UPDATE webhook_deliveries SET
        status = 'pending', due_at = now(), lease_until = NULL, owner = NULL, last_error = 'interrupted'
    WHERE status = 'sending' AND owner = :owner
    RETURNING id, attempts
)
{{ given_back }}
