-- Which deliveries were claimed by processes that are dead by now? See give_back.
WITH left_behind AS (
    UPDATE webhook_deliveries SET {{ due_again }}
    WHERE status = 'sending' AND lease_until < now()
    RETURNING id, attempts
)
{{ record_interruptions }}
