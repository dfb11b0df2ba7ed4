-- Which jobs have an upstream id without an accepted attempt that got it, or an accepted attempt with another id?
-- The request of an earlier attempt, or of a job whose result was withdrawn, is an observation: a second start.
WITH found AS (
    SELECT coalesce(job.id, won.job_id) AS id
    FROM (SELECT id, attempt, upstream_id FROM jobs WHERE upstream_id IS NOT NULL) AS job
    FULL JOIN (SELECT job_id, attempt, upstream_id FROM attempts WHERE outcome = 'accepted') AS won
        ON won.job_id = job.id AND won.attempt = job.attempt AND won.upstream_id = job.upstream_id
    WHERE won.job_id IS NULL OR (
        job.id IS NULL AND NOT EXISTS (
            SELECT FROM upstream_observations AS seen
            WHERE seen.job_id = won.job_id AND seen.attempt = won.attempt AND seen.upstream_id = won.upstream_id
        )
    )
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE outcome = 'accepted'
), {{ proof_of_jobs }}
