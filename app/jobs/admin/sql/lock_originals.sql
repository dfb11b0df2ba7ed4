-- Which originals are next in the order of their jobs' ids?
SELECT job_id, original FROM job_results
WHERE job_id > :after AND original IS NOT NULL ORDER BY job_id LIMIT :originals_max
FOR NO KEY UPDATE
