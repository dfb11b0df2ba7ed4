-- Which jobs have a live attempt without being `sending`, are `sending` without one, or have one that is not their latest?
WITH found AS (
    SELECT coalesce(job.id, live.job_id) AS id
    FROM (SELECT id, attempt FROM jobs WHERE state = 'sending') AS job
    FULL JOIN (SELECT job_id, attempt FROM attempts WHERE settled_at IS NULL) AS live
        ON live.job_id = job.id AND live.attempt = job.attempt
    WHERE job.id IS NULL OR live.job_id IS NULL
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE settled_at IS NULL
), {{ proof_of_jobs }}
