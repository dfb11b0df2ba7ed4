-- Which jobs are due, and nobody has put them in line? (No worker sweeps, if there are any.)
WITH found AS (
    SELECT id FROM jobs
    WHERE state = 'queued' AND NOT ready AND due_at < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'queued'
), {{ proof_of_jobs }}
