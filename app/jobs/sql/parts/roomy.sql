-- A query for the tenants all of whose new jobs find room, by the CTEs `newcomers` and `places`, the queues that are locked. One of a
-- tenant one of whose queues was passed over is not among them.
SELECT tenant_id FROM newcomers LEFT JOIN places USING (subject_id) GROUP BY tenant_id
HAVING bool_and(CASE
    WHEN queued IS NULL THEN NOT EXISTS (SELECT FROM queues WHERE queues.subject_id = newcomers.subject_id)
    ELSE queued + jobs <= coalesce(max_queued, :no_limit)
END)
