-- Which upstream id cannot become the job's own?
INSERT INTO upstream_observations (job_id, attempt, upstream_id, worker) VALUES (:job_id, :attempt, :upstream_id, :worker)
ON CONFLICT DO NOTHING
