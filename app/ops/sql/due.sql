-- Which unfinished jobs would the engine never check again?
-- Only a job that a pause or a limit of its key holds back may wait without a time limit.
WITH found AS (
    SELECT id FROM jobs AS job
    WHERE (finished_at IS NULL) <> (due_at IS NOT NULL)
        OR (due_at = 'infinity' AND NOT EXISTS (
            SELECT FROM pauses AS pause
            WHERE (pause.tenant_id IS NULL OR pause.tenant_id = job.tenant_id)
                AND (pause.model IS NULL OR pause.model = job.model)
                AND (pause.what = 'all' OR job.state = 'queued')
        ) AND NOT (job.state = 'queued' AND EXISTS (
            SELECT FROM queues AS key WHERE key.subject_id = job.key_id
        )))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE finished_at IS NULL
), {{ proof_of_jobs }}
