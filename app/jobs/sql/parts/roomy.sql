-- A query for the tenants that have places for all their new jobs, by the CTEs `newcomers` and `places` (the locked queues).
-- A tenant is left out if one of its queues exists and was skipped because it was locked.
SELECT tenant_id FROM newcomers LEFT JOIN places USING (subject_id) GROUP BY tenant_id
HAVING bool_and(CASE
    WHEN queued IS NULL THEN NOT EXISTS (SELECT FROM queues WHERE queues.subject_id = newcomers.subject_id)
    ELSE queued + jobs <= coalesce(max_queued, :no_limit)
END)
