-- What are the attempts of this job?
SELECT attempt, outcome, sent_at, settled_at, upstream_id, worker FROM attempts WHERE job_id = :job_id ORDER BY attempt
