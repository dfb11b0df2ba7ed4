-- Which jobs lost three workers in a row, but have not ended?
-- If there are any, no worker sweeps.
WITH found AS (
    SELECT id FROM jobs
    WHERE takeovers > 2 OR (takeovers = 2 AND lease_until < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE takeovers > 0
), {{ proof_of_jobs }}
