-- A statement that inserts the exposure of second starts. {rows}: a CTE (id, tenant_id, upstream_id, held_micro) of jobs that the
-- upstream has started a second time, under the id upstream_id. The second start is expected to cost as much as the first.
INSERT INTO exposures (job_id, tenant_id, upstream_id, reason, amount)
SELECT id, tenant_id, upstream_id, 'second_start', held_micro FROM {rows}
ON CONFLICT DO NOTHING
