-- How are refused submits counted, with one row for equal ones of a minute?
INSERT INTO refusals (
    minute, tenant_id, key_id, surface, model, status_code, code, job_id, received_at, last_at, count
)
SELECT date_trunc('minute', received_at), * FROM unnest(
    :tenant_id::uuid[], :key_id::uuid[], :surface::text[], :model::text[], :status_code::smallint[], :code::text[],
    :job_id::uuid[], :received_at::timestamptz[], :last_at::timestamptz[], :refused::bigint[]
) AS t (tenant_id, key_id, surface, model, status_code, code, job_id, received_at, last_at, count)
ORDER BY tenant_id, key_id, surface, model, status_code, code, job_id
ON CONFLICT ON CONSTRAINT refusals_equal_key DO UPDATE SET
    count = refusals.count + excluded.count, last_at = greatest(refusals.last_at, excluded.last_at)
