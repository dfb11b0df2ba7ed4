-- Which ids did the upstream give these jobs too late?
SELECT DISTINCT ON (job_id) job_id, upstream_id FROM upstream_observations
WHERE job_id = ANY (:job_ids::uuid[]) ORDER BY job_id, id DESC
