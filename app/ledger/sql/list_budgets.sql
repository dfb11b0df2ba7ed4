-- Which budgets do these tenants and keys have, and what is spent in their current periods?
-- A budget whose period is over starts again at 0.
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
