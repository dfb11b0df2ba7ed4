-- Which jobs have a further attempt although an earlier one may have reached the upstream?
WITH found AS (
    SELECT tried.job_id AS id
    FROM attempts AS tried JOIN jobs AS job ON job.id = tried.job_id
    WHERE tried.attempt < job.attempt AND coalesce(tried.outcome, '') NOT IN ('not_sent', 'throttled', 'account')
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE attempt > 1
), {{ proof_of_jobs }}
