-- Which discrepancies of these kinds are open, those checked longest ago first?
SELECT kind, subject, job_id FROM discrepancies AS discrepancy
WHERE {{ open(discrepancy=discrepancy) }} AND kind = ANY (:kinds::text[])
ORDER BY last_seen_at LIMIT :discrepancies_max
