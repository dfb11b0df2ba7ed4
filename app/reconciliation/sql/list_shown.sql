-- Which discrepancies are open, newest first?
SELECT
    discrepancy.id, discrepancy.kind, discrepancy.job_id, tenant.name AS tenant, discrepancy.upstream_id,
    discrepancy.model, discrepancy.ours_micro, discrepancy.theirs_micro, discrepancy.happened_at, discrepancy.first_seen_at
FROM discrepancies AS discrepancy LEFT JOIN tenants AS tenant ON tenant.id = discrepancy.tenant_id
WHERE {{ open(discrepancy=discrepancy) }}
ORDER BY discrepancy.first_seen_at DESC, discrepancy.id DESC LIMIT :discrepancies_max
