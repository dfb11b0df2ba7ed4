-- Which jobs may have cost what no tenant pays, but have no exposure?
-- Jobs from before the ledger had no hold.
WITH found AS (
    SELECT job.id FROM jobs AS job
    JOIN job_events AS last ON last.job_id = job.id AND last.seq = job.revision
    WHERE job.finished_at IS NOT NULL AND job.held_micro > 0
        AND (
            job.cost_micro > job.charged_micro
            OR (last.reason = 'submission_unknown' AND NOT EXISTS (
                SELECT FROM attempts WHERE attempts.job_id = job.id AND attempts.contested
            ))
            OR (job.upstream_id IS NOT NULL AND last.reason IN (
                'result_lost', 'result_too_large', 'result_unreadable', 'upstream_unavailable', 'poison'
            ))
        )
        AND NOT EXISTS (SELECT FROM exposures WHERE exposures.job_id = job.id)
), counted AS (
    SELECT count(*) AS number FROM exposures
), {{ proof_of_jobs }}
