-- A query for the sum of the CTE `changes` for each queue.
SELECT subject_id, sum(queued)::int AS queued, sum(ready)::int AS ready, sum(claimed)::int AS claimed, sum(in_flight)::int AS in_flight
FROM changes CROSS JOIN LATERAL (VALUES (tenant_id), (key_id)) AS subject (subject_id)
WHERE queued <> 0 OR ready <> 0 OR claimed <> 0 OR in_flight <> 0 GROUP BY subject_id
