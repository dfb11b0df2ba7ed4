-- How long did this job take, and what did it cost?
SELECT queue_seconds, upstream_seconds, detection_seconds, polls, upstream_cost, held, hold_now, charged
FROM ops.jobs WHERE job_id = :job_id
