-- Which tenants are further below zero than their overdraft allows? And who has no balance?
WITH found AS (
    SELECT tenant.id FROM tenants AS tenant LEFT JOIN balances AS balance ON balance.tenant_id = tenant.id
    WHERE balance.tenant_id IS NULL OR balance.granted - balance.posted - balance.held < -balance.overdraft
), counted AS (
    SELECT count(*) AS number FROM balances
), {{ proof }}
