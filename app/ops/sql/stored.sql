-- Which accepted jobs lack their input or their first event?
WITH found AS (
    SELECT job.id FROM jobs AS job
    LEFT JOIN job_inputs AS input ON input.job_id = job.id
    LEFT JOIN job_events AS event ON event.job_id = job.id AND event.seq = 1
    WHERE input.job_id IS NULL OR event.job_id IS NULL
), counted AS (
    SELECT count(*) AS number FROM jobs
), {{ proof_of_jobs }}
