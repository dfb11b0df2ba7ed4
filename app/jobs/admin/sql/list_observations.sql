-- Which upstream ids came too late to be this job's own?
SELECT at, attempt, upstream_id, worker FROM upstream_observations WHERE job_id = :job_id ORDER BY id
