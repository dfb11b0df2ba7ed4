-- What is the state of this job, and does the upstream's request belong to another job?
SELECT
    job.state, job.attempt,
    EXISTS (SELECT FROM jobs AS other WHERE other.upstream_id = :upstream_id AND other.id <> job.id)
        OR EXISTS (
            SELECT FROM upstream_observations AS seen WHERE seen.upstream_id = :upstream_id AND seen.job_id <> job.id
        )
        AS taken
FROM jobs AS job WHERE job.id = :job_id
