-- How is a budget set, with the credits spent in its current period?
INSERT INTO budgets (subject_id, period, tenant_id, limit_micro, starts_on, spent_micro)
SELECT :subject_id, :period, :tenant_id, :limit_micro, began.on_day, coalesce((
    -- the charge of each ended job, the hold of each other one
    SELECT sum(CASE resolution.kind WHEN 'post' THEN resolution.amount WHEN 'release' THEN 0 ELSE hold.amount END)::bigint
    FROM transfers AS hold
    LEFT JOIN transfers AS resolution ON resolution.hold_id = hold.id AND resolution.kind IN ('post', 'release')
    WHERE hold.tenant_id = :tenant_id AND hold.created_at >= began.on_day AT TIME ZONE 'UTC' AND hold.kind = 'hold'
        AND (:subject_id = :tenant_id OR hold.key_id = :subject_id)
), 0)
FROM (SELECT date_trunc(:period, now() AT TIME ZONE 'UTC')::date AS on_day) AS began
ON CONFLICT (subject_id, period) DO UPDATE SET limit_micro = excluded.limit_micro, alerted_percent = 0
