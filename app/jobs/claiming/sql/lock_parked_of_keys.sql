-- Which parked jobs of these keys may become ready, :seen of each key?
SELECT job.id, job.tenant_id, job.key_id, job.rank_at
FROM unnest(:subject_id::uuid[], :tenant_id::uuid[], :seen::bigint[]) AS key (subject_id, tenant_id, seen)
CROSS JOIN LATERAL (
    SELECT job.id, job.tenant_id, job.key_id, job.rank_at FROM jobs AS job
    WHERE job.key_id = key.subject_id AND job.state = 'queued' AND job.due_at = 'infinity' AND {{ may_submit(job=job) }}
        AND (job.deadline_at IS NULL OR job.deadline_at > now())
    ORDER BY job.rank_at
    LIMIT CASE WHEN {{ tenant_is_paused(queue=key) }} THEN 0 ELSE key.seen END
    FOR UPDATE OF job SKIP LOCKED
) AS job
