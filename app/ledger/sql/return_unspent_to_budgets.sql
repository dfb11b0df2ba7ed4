-- How does the unspent part of holds return to budgets?
-- Only in the period in which the job was accepted.
UPDATE budgets SET spent_micro = greatest(0, budgets.spent_micro - summed.amount)
FROM (
    SELECT budget.subject_id, budget.period, sum(asked.amount)::bigint AS amount
    FROM unnest(:hold_id::uuid[], :amount::bigint[]) AS asked (hold_id, amount)
    JOIN transfers AS hold ON hold.id = asked.hold_id
    JOIN budgets AS budget ON budget.subject_id IN (hold.tenant_id, hold.key_id)
    WHERE (hold.created_at AT TIME ZONE 'UTC')::date >= budget.starts_on
    GROUP BY budget.subject_id, budget.period
) AS summed
WHERE budgets.subject_id = summed.subject_id AND budgets.period = summed.period
