-- Which parked running jobs does no pause of polls hold any more?
-- They become due again.
UPDATE jobs AS job SET due_at = submitted_at
WHERE state = 'running' AND due_at = 'infinity' AND NOT {{ polls_paused(job=job) }}
