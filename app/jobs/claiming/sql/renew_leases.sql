-- Which of these leases are still valid, and are renewed?
-- Locked rows are skipped: their transaction probably ends the claim, and a wait here, in another order, could deadlock with it.
WITH held AS (
    SELECT job.id FROM jobs AS job
    JOIN unnest(:id::uuid[], :fence::bigint[]) AS asked (id, fence) ON asked.id = job.id AND asked.fence = job.fence
    WHERE job.owner = :owner AND job.finished_at IS NULL AND job.lease_until > now()
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_seconds) FROM held WHERE jobs.id = held.id
RETURNING jobs.id, jobs.fence
