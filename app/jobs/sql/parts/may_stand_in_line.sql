-- Whether `job`, a row of jobs, is parked and might be ready, as far as pauses go.
job.state = 'queued' AND job.due_at = 'infinity' AND {{ may_submit(job=job) }}
    AND (job.deadline_at IS NULL OR job.deadline_at > now())
