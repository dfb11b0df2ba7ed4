-- What is kept of 403s for this model: of this tenant's, and of another tenant's that counts for all?
SELECT
    tenant_id = :tenant_id AS own, extract(epoch FROM last_at)::double precision AS last_at, last_body,
    extract(epoch FROM other_at)::double precision AS other_at, alone
FROM forbidden_answers
WHERE model = :model AND (tenant_id = :tenant_id OR NOT alone)
-- the tenant's own row first; of the others one that counts is enough
ORDER BY tenant_id = :tenant_id DESC, last_at DESC LIMIT 2
