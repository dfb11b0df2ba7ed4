-- Which of these attempts may have made a request that may also be another tenant's?
UPDATE attempts SET contested = true
FROM unnest(:job_id::uuid[], :attempt::smallint[]) AS asked (job_id, attempt)
WHERE attempts.job_id = asked.job_id AND attempts.attempt = asked.attempt AND attempts.outcome = 'unknown' AND NOT contested
