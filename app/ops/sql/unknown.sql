-- Which jobs have been unknown for longer than they may be? (No worker sweeps, if there are any.)
WITH found AS (
    SELECT id FROM jobs WHERE state = 'unknown' AND due_at < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'unknown'
), {{ proof_of_jobs }}
