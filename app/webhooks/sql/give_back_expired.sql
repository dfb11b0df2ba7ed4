-- Which claimed deliveries have an expired lease, and become due now?
-- See give_back.sql.
WITH left_behind AS (
    UPDATE webhook_deliveries SET {{ due_again }}
    WHERE status = 'sending' AND lease_until < now()
    RETURNING id, attempts
)
{{ record_interruptions }}
