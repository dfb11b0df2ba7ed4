-- Which tenants have lots whose time is over, those of the oldest first?
SELECT DISTINCT tenant_id FROM (
    SELECT tenant_id FROM lots WHERE expired_at IS NULL AND expires_at <= now() ORDER BY expires_at LIMIT :tenants_max
) AS soonest
