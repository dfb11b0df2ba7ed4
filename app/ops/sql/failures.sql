-- Which FAILED jobs have no error code or no message?
WITH found AS (
    SELECT job.id FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
    WHERE job.state = 'failed' AND (job.error_code IS NULL OR coalesce(result.message, '') = '')
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE state = 'failed'
), {{ proof_of_jobs }}
