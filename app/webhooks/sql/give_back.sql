-- Which deliveries has this process claimed and not finished?
-- They become due now. Their POST may have arrived; receivers recognise repeated events by the id.
WITH left_behind AS (
    UPDATE webhook_deliveries SET {{ due_again }}
    WHERE status = 'sending' AND owner = :owner
    RETURNING id, attempts
)
{{ record_interruptions }}
