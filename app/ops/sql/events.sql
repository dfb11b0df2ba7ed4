-- Which ended jobs lack the event of their end, or have the event of another end?
WITH found AS (
    SELECT job.id FROM jobs AS job
    LEFT JOIN webhook_events AS event ON event.job_id = job.id AND event.type = 'job.' || job.state
    WHERE job.finished_at IS NOT NULL AND event.id IS NULL
    UNION ALL
    SELECT event.job_id FROM webhook_events AS event JOIN jobs AS job ON job.id = event.job_id
    WHERE event.type IN ('job.completed', 'job.failed', 'job.canceled') AND event.type <> 'job.' || job.state
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE finished_at IS NOT NULL
), {{ proof_of_jobs }}
