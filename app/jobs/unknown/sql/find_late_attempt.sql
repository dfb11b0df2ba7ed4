-- Which ended or resubmitted job made this attempt, whose request the history shows only now? The job is locked.
SELECT job.id, job.tenant_id, job.key_id, job.model, job.state, job.attempt AS last_attempt, attempt.resolution, job.held_micro,
    job.finished_at, job.withdrawn_at IS NOT NULL AS withdrawn
FROM ({{ adoptions }}) AS asked
JOIN jobs AS job ON job.id = asked.job_id
JOIN attempts AS attempt ON attempt.job_id = asked.job_id AND attempt.attempt = asked.attempt
WHERE attempt.outcome = 'unknown' AND (job.state <> 'unknown' OR job.attempt > attempt.attempt)
    AND {{ is_free }}
FOR UPDATE OF job
