-- How does the excess of a charge return to the budgets of its hold?
-- Only in the period in which the job was accepted.
UPDATE budgets SET spent_micro = greatest(0, spent_micro - :amount)
FROM transfers AS hold
WHERE hold.id = :hold_id AND budgets.subject_id IN (hold.tenant_id, hold.key_id)
    AND (hold.created_at AT TIME ZONE 'UTC')::date >= budgets.starts_on
