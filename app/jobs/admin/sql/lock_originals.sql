-- Which originals come next by the ids of their jobs?
SELECT job_id, original FROM job_results
WHERE job_id > :after AND original IS NOT NULL ORDER BY job_id LIMIT :originals_max
FOR NO KEY UPDATE
