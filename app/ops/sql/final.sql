-- Which jobs are final without the instant of their end, or the reverse; or ended, but still claimed?
WITH found AS (
    SELECT id FROM jobs
    WHERE (state IN ('completed', 'failed', 'canceled')) <> (finished_at IS NOT NULL)
        OR (finished_at IS NOT NULL AND (lease_until IS NOT NULL OR owner IS NOT NULL))
        OR (state = 'canceled' AND cancel_requested_at IS NULL)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state IN ('completed', 'failed', 'canceled')
), {{ proof_of_jobs }}
