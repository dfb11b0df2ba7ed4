-- Which upstream ids were recorded too late for these jobs?
SELECT DISTINCT ON (job_id) job_id, upstream_id FROM upstream_observations
WHERE job_id = ANY (:job_ids::uuid[]) ORDER BY job_id, id DESC
