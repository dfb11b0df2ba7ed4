-- A query for the queued jobs that are claimed. They are among the first ready jobs by rank.
SELECT job.id, job.owner, job.lease_until
FROM queues AS queue CROSS JOIN LATERAL (
    SELECT id, owner, lease_until FROM jobs
    WHERE tenant_id = queue.tenant_id AND ready AND owner IS NOT NULL
    ORDER BY rank_at LIMIT queue.claimed
) AS job
WHERE queue.claimed > 0 AND queue.subject_id = queue.tenant_id
