-- Which jobs differ from their last event, and which events belong to no job?
WITH found AS (
    SELECT coalesce(job.id, last.job_id) AS id
    FROM jobs AS job
    FULL JOIN (SELECT job_id, max(seq) AS seq FROM job_events GROUP BY job_id) AS last ON last.job_id = job.id
    LEFT JOIN job_events AS event ON event.job_id = last.job_id AND event.seq = last.seq
    WHERE job.id IS NULL OR last.job_id IS NULL OR job.revision <> last.seq OR job.state <> event.to_state
), counted AS (
    SELECT count(*) AS number FROM jobs
), {{ proof_of_jobs }}
