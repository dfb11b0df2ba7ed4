-- Which queued jobs are due, but not ready?
-- If there are any, no worker sweeps.
WITH found AS (
    SELECT id FROM jobs
    WHERE state = 'queued' AND NOT ready AND due_at < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'queued'
), {{ proof_of_jobs }}
