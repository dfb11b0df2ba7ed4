-- A query: how many new jobs of the CTE `asked` each tenant and key has.
SELECT subject_id, tenant_id, count(*) AS jobs
FROM asked CROSS JOIN LATERAL (VALUES (tenant_id), (key_id)) AS subject (subject_id) GROUP BY subject_id, tenant_id
