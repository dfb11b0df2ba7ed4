-- Which jobs have been unknown for longer than is allowed?
-- If there are any, no worker sweeps.
WITH found AS (
    SELECT id FROM jobs WHERE state = 'unknown' AND due_at < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'unknown'
), {{ proof_of_jobs }}
