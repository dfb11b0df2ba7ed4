-- Which 403s are kept for this model: of this tenant, and of another tenant if they count for all?
SELECT
    tenant_id = :tenant_id AS own, extract(epoch FROM last_at)::double precision AS last_at, last_body,
    extract(epoch FROM other_at)::double precision AS other_at, alone
FROM forbidden_answers
WHERE model = :model AND (tenant_id = :tenant_id OR NOT alone)
-- the tenant's own row first; one row of another tenant that counts is enough
ORDER BY tenant_id = :tenant_id DESC, last_at DESC LIMIT 2
