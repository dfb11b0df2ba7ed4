-- Which deliveries has this process claimed and not finished?
-- They are due at once. Their POST may have arrived; receivers recognise events by their ids.
WITH left_behind AS (
    UPDATE webhook_deliveries SET {{ due_again }}
    WHERE status = 'sending' AND owner = :owner
    RETURNING id, attempts
)
{{ record_interruptions }}
