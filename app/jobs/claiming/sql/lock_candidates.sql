-- Which ready jobs of these tenants may be sent, :seen of each tenant?
SELECT job.id, turn.tenant_id, job.key_id, job.rank_at, job.suspect, job.cost
FROM unnest(:tenant_id::uuid[], :seen::bigint[]) AS turn (tenant_id, seen) CROSS JOIN LATERAL (
    SELECT job.id, job.key_id, job.rank_at, job.takeovers > 1 AS suspect, greatest(job.held_micro, :cost_micro_min) AS cost
    FROM jobs AS job
    WHERE job.tenant_id = turn.tenant_id AND job.ready AND job.owner IS NULL
        AND (job.deadline_at IS NULL OR job.deadline_at > now())
        AND {{ may_submit(job=job) }}
        AND (job.takeovers < 2 OR {{ worker_holds_no_suspect }})
    ORDER BY job.rank_at
    LIMIT turn.seen
    FOR UPDATE OF job SKIP LOCKED
) AS job
