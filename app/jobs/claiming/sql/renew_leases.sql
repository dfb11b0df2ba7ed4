-- Which leases still hold, and go on?
-- A row that is locked is being written by whoever ends its claim: to wait for it here, in an order of our own, could deadlock with that.
WITH held AS (
    SELECT job.id FROM jobs AS job
    JOIN unnest(:id::uuid[], :fence::bigint[]) AS asked (id, fence) ON asked.id = job.id AND asked.fence = job.fence
    WHERE job.owner = :owner AND job.finished_at IS NULL AND job.lease_until > now()
    FOR UPDATE OF job SKIP LOCKED
)
UPDATE jobs SET lease_until = now() + make_interval(secs => :lease_seconds) FROM held WHERE jobs.id = held.id
RETURNING jobs.id, jobs.fence
