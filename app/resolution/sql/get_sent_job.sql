-- Which model and parameters has this job, when was it sent, and may this request be another tenant's?
SELECT job.model, job.sent_at, input.body,
    EXISTS (SELECT FROM contested_requests WHERE upstream_id = :upstream_id AND settled_at IS NULL) AS contested
FROM jobs AS job LEFT JOIN job_inputs AS input ON input.job_id = job.id WHERE job.id = :job_id
