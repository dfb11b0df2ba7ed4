-- Which jobs have their results from the upstream's history?
UPDATE jobs SET recovered = true WHERE id = ANY (:job_ids::uuid[])
