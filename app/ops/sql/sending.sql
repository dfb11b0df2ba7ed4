-- Which jobs are still called sending, though nobody can be sending them any more? (No worker sweeps, if there are any.)
WITH found AS (
    SELECT id FROM jobs WHERE state = 'sending'
        AND (lease_until IS NULL OR lease_until < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'sending'
), {{ proof_of_jobs }}
