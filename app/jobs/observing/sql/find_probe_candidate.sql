-- Which of the jobs that only this pause holds is the next probe?
SELECT candidate.id
FROM queues AS place
JOIN api_keys AS key ON key.tenant_id = place.tenant_id
LEFT JOIN queues AS own ON own.subject_id = key.id
LEFT JOIN forbidden_answers AS told ON told.tenant_id = place.tenant_id AND told.model = :model
-- of each key the first job by rank
CROSS JOIN LATERAL (
    SELECT job.id, job.rank_at FROM jobs AS job
    WHERE job.key_id = key.id AND job.state = 'queued' AND job.due_at = 'infinity' AND job.model = :model
        AND (job.deadline_at IS NULL OR job.deadline_at > now())
        AND NOT {{ submits_paused_beside(job=job) }}
    ORDER BY job.rank_at LIMIT 1
) AS candidate
WHERE place.subject_id = place.tenant_id AND place.queued > place.ready
    AND (:tenant_id::uuid IS NULL OR place.tenant_id = :tenant_id)
    -- its tenant and its key have a free place in flight; a key without a queue has no own limit
    AND place.in_flight + place.claimed < coalesce(place.max_in_flight, :no_limit)
    AND coalesce(own.in_flight + own.ready < coalesce(own.max_in_flight, :no_limit), true)
-- tenants that the upstream has not recently refused come first
ORDER BY told.last_at NULLS FIRST, candidate.rank_at LIMIT 1
