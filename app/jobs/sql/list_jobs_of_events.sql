-- What do events show of these jobs?
-- Of larger results only the size is returned.
SELECT {{ shown }}, octet_length(result.body) AS result_bytes,
    CASE WHEN octet_length(result.body) <= :result_bytes_max THEN result.body END AS body
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = ANY (:job_ids::uuid[])
