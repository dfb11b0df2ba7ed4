-- Which jobs have attempts that are not numbered from 1 to the job's?
WITH found AS (
    SELECT coalesce(job.id, tried.job_id) AS id
    FROM (SELECT id, attempt FROM jobs WHERE attempt > 0) AS job
    FULL JOIN (
        SELECT job_id, count(*) AS number, min(attempt) AS first, max(attempt) AS last FROM attempts GROUP BY job_id
    ) AS tried ON tried.job_id = job.id
    WHERE job.id IS NULL OR tried.job_id IS NULL
        OR tried.first <> 1 OR tried.last <> job.attempt OR tried.number <> job.attempt
), counted AS (
    SELECT count(*) AS number FROM attempts
), {{ proof_of_jobs }}
