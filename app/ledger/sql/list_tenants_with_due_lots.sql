-- Which tenants have the :tenants_max oldest lots that are due to expire?
SELECT DISTINCT tenant_id FROM (
    SELECT tenant_id FROM lots WHERE expired_at IS NULL AND expires_at <= now() ORDER BY expires_at LIMIT :tenants_max
) AS soonest
