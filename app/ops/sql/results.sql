-- Which COMPLETED jobs have no result, and which jobs have one that was withdrawn?
WITH found AS (
    SELECT job.id FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
    WHERE (job.state = 'completed' AND job.withdrawn_at IS NULL AND result.body IS NULL)
        OR (job.withdrawn_at IS NOT NULL AND result.body IS NOT NULL)
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'completed'
), {{ proof_of_jobs }}
