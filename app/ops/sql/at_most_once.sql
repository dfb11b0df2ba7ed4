-- Which jobs were tried again although an earlier attempt may have arrived?
WITH found AS (
    SELECT tried.job_id AS id
    FROM attempts AS tried JOIN jobs AS job ON job.id = tried.job_id
    WHERE tried.attempt < job.attempt AND coalesce(tried.outcome, '') NOT IN ('not_sent', 'throttled', 'account')
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE attempt > 1
), {{ proof_of_jobs }}
