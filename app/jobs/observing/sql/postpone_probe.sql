-- When is this pause examined again, if no job waits only for it?
UPDATE pauses SET probe_job_id = NULL, probe_at = now() + make_interval(secs => :idle_seconds)
WHERE id = :pause_id AND probe_at IS NOT NULL AND probe_job_id IS NOT DISTINCT FROM :probe_job_id
