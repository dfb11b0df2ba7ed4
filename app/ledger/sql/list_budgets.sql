-- Which budgets are over these tenants and keys, with what is spent of their running periods?
-- Budgets over these balances, which are locked; a period that is over begins anew.
WITH today AS (SELECT (now() AT TIME ZONE 'UTC')::date AS day),
current AS (
    SELECT
        budgets.*,
        CASE period WHEN 'day' THEN today.day ELSE date_trunc('month', today.day)::date END AS began_on
    FROM budgets CROSS JOIN today
    WHERE tenant_id = ANY(:tenant_ids::uuid[]) AND (tenant_id = subject_id OR subject_id = ANY(:key_ids::uuid[]))
)
SELECT
    tenant_id, subject_id, period, began_on AS starts_on, limit_micro,
    CASE WHEN starts_on < began_on THEN 0 ELSE spent_micro END AS spent_micro,
    CASE WHEN starts_on < began_on THEN 0 ELSE alerted_percent END AS alerted_percent
FROM current
ORDER BY subject_id, period
