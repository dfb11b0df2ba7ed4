-- Which jobs has the third worker in a row let go of, and are still not ended? (No worker sweeps, if there are any.)
WITH found AS (
    SELECT id FROM jobs
    WHERE takeovers > 2 OR (takeovers = 2 AND lease_until < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE takeovers > 0
), {{ proof_of_jobs }}
