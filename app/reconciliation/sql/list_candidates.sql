-- Which jobs of this model were sent in this window?
SELECT {{ job }}, input.body
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.sent_at >= :since AND job.sent_at < :until AND job.model = :model AND octet_length(input.body) <= :body_bytes_max
LIMIT :candidates_max
