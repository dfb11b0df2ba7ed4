-- Which jobs were tried again although an earlier attempt may have arrived?
WITH found AS (
    SELECT tried.job_id AS id
    FROM attempts AS tried JOIN jobs AS job ON job.id = tried.job_id
    WHERE tried.attempt < job.attempt AND coalesce(tried.outcome, '') NOT IN ('not_sent', 'throttled', 'account')
        -- proven absent, and sent once more as its tenant wants it
        AND NOT (coalesce(tried.resolution, '') = 'proven_absent' AND job.on_unknown = 'resubmit')
), counted AS (
    SELECT count(*) AS number FROM attempts WHERE attempt > 1
), {{ proof_of_jobs }}
