-- Which tenants have usage that differs from their posts?
WITH found AS (
    SELECT coalesce(used.tenant_id, paid.tenant_id) AS id
    FROM (SELECT tenant_id, sum(charged_micro) AS amount FROM usage_hours GROUP BY tenant_id) AS used
    FULL JOIN (
        SELECT tenant_id, sum(CASE kind WHEN 'post' THEN amount ELSE -amount END) AS amount
        FROM transfers WHERE kind = 'post' OR (kind = 'adjust' AND job_id IS NOT NULL) GROUP BY tenant_id
    ) AS paid ON paid.tenant_id = used.tenant_id
    WHERE coalesce(used.amount, 0) <> coalesce(paid.amount, 0)
), counted AS (
    SELECT count(*) AS number FROM usage_hours
), {{ proof }}
