-- Whether no job has the request `asked.upstream_id`, and no other job than `job` was given it too late.
NOT EXISTS (SELECT FROM jobs AS other WHERE other.upstream_id = asked.upstream_id)
    AND NOT EXISTS (
        SELECT FROM upstream_observations AS seen WHERE seen.upstream_id = asked.upstream_id AND seen.job_id <> job.id
    )
