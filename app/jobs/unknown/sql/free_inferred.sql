-- Which request had this running job by inference, that it is to lose for the one that the upstream itself has named?
SELECT job.upstream_id FROM jobs AS job
JOIN attempts AS attempt ON attempt.job_id = job.id AND attempt.attempt = job.attempt
WHERE job.id = :job_id AND job.attempt = :attempt AND job.state = 'running' AND job.upstream_id <> :upstream_id
    AND attempt.resolution IS NOT NULL
FOR UPDATE OF job
