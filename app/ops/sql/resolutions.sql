-- Which posts and releases have another job's hold, a wrong amount, or a hold resolved before?
WITH found AS (
    SELECT resolution.id FROM transfers AS resolution
    LEFT JOIN transfers AS held ON held.id = resolution.hold_id AND held.kind = 'hold'
    WHERE resolution.kind IN ('post', 'release') AND (
        held.id IS NULL OR held.job_id <> resolution.job_id OR held.tenant_id <> resolution.tenant_id
        OR resolution.amount > held.amount OR (resolution.kind = 'release' AND resolution.amount <> held.amount)
    )
    UNION ALL
    SELECT (array_agg(id ORDER BY created_at DESC))[1] FROM transfers WHERE kind IN ('post', 'release')
    GROUP BY hold_id HAVING count(*) > 1
), counted AS (
    SELECT count(*) AS number FROM transfers WHERE kind IN ('post', 'release')
), {{ proof }}
