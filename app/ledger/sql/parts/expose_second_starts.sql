-- A statement that writes down exposure. {rows}: a CTE (id, tenant_id, upstream_id, held_micro) of jobs that the upstream has
-- started under an id that is not their own, which will cost about as much again.
INSERT INTO exposures (job_id, tenant_id, upstream_id, reason, amount)
SELECT id, tenant_id, upstream_id, 'second_start', held_micro FROM {rows}
ON CONFLICT DO NOTHING
