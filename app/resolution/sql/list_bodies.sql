-- Which parameters have these jobs? Not those beyond a total size.
SELECT job_id, body FROM (
    SELECT job_id, body, sum(octet_length(body)) OVER (ORDER BY job_id) AS total
    FROM job_inputs WHERE job_id = ANY (:job_ids::uuid[])
) AS input
WHERE total <= :bytes_max
