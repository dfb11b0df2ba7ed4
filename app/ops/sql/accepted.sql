-- Which jobs have an upstream id without an accepted attempt that got it, or an accepted attempt with another id?
WITH found AS (
    SELECT coalesce(job.id, won.job_id) AS id
    FROM (SELECT id, attempt, upstream_id FROM jobs WHERE upstream_id IS NOT NULL) AS job
    FULL JOIN (SELECT job_id, attempt, upstream_id FROM attempts WHERE outcome = 'accepted') AS won
        ON won.job_id = job.id AND won.attempt = job.attempt AND won.upstream_id = job.upstream_id
    WHERE job.id IS NULL OR won.job_id IS NULL
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE outcome = 'accepted'
), {{ proof_of_jobs }}
