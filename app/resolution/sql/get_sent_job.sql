-- Which model and parameters has this job?
SELECT job.model, input.body FROM jobs AS job LEFT JOIN job_inputs AS input ON input.job_id = job.id WHERE job.id = :job_id
