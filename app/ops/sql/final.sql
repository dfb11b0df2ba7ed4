-- Which jobs are final without their instant, or the other way round, or ended and still in somebody's hands?
WITH found AS (
    SELECT id FROM jobs
    WHERE (state IN ('completed', 'failed', 'canceled')) <> (finished_at IS NOT NULL)
        OR (finished_at IS NOT NULL AND (lease_until IS NOT NULL OR owner IS NOT NULL))
        OR (state = 'canceled' AND cancel_requested_at IS NULL)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state IN ('completed', 'failed', 'canceled')
), {{ proof_of_jobs }}
