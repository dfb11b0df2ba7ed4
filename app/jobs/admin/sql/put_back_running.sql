-- Which parked running jobs are held by no pause of polls any more? They are due again.
UPDATE jobs AS job SET due_at = submitted_at
WHERE state = 'running' AND due_at = 'infinity' AND NOT {{ polls_paused(job=job) }}
