-- What is spent of these budgets, and which alerts are new?
-- Each alert is inserted once a period.
WITH asked AS (
    SELECT * FROM unnest(:subject_id::uuid[], :period::text[], :starts_on::date[], :spent_micro::bigint[], :percent::smallint[])
        AS t (subject_id, period, starts_on, spent_micro, percent)
), spent AS (
    UPDATE budgets SET
        spent_micro = asked.spent_micro, starts_on = asked.starts_on,
        alerted_percent = CASE
            WHEN budgets.starts_on = asked.starts_on THEN greatest(budgets.alerted_percent, asked.percent)
            ELSE asked.percent
        END
    FROM asked WHERE budgets.subject_id = asked.subject_id AND budgets.period = asked.period
    RETURNING
        budgets.tenant_id, budgets.subject_id, budgets.period, budgets.starts_on, budgets.limit_micro,
        budgets.spent_micro, asked.percent
)
INSERT INTO budget_alerts (tenant_id, subject_id, period, starts_on, percent, spent_micro, limit_micro)
SELECT tenant_id, subject_id, period, starts_on, level, spent_micro, limit_micro
FROM spent JOIN unnest(ARRAY[50, 80, 100]::smallint[]) AS level ON level <= spent.percent
ON CONFLICT DO NOTHING
RETURNING tenant_id, subject_id, period, percent
