-- Which jobs are `sending` although their lease has expired?
-- If there are any, no worker sweeps.
WITH found AS (
    SELECT id FROM jobs WHERE state = 'sending'
        AND (lease_until IS NULL OR lease_until < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'sending'
), {{ proof_of_jobs }}
