-- Which of these attempts may have made a request that may also be another tenant's?
-- An unresolved attempt sent since then that is not among them is contested no more.
WITH asked AS (
    SELECT * FROM unnest(:job_id::uuid[], :attempt::smallint[]) AS asked (job_id, attempt)
), cleared AS (
    UPDATE attempts SET contested = false
    WHERE outcome = 'unknown' AND sent_at >= :since AND contested AND resolution IS NULL
        AND NOT EXISTS (SELECT FROM asked WHERE asked.job_id = attempts.job_id AND asked.attempt = attempts.attempt)
)
UPDATE attempts SET contested = true FROM asked
WHERE attempts.job_id = asked.job_id AND attempts.attempt = asked.attempt AND attempts.outcome = 'unknown' AND NOT contested
