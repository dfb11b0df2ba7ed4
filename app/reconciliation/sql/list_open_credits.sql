-- Which discrepancies about the company's credits are open, with the reading before each?
SELECT discrepancy.subject, before.id, before.asked_at, before.at, before.paid_micro + before.free_micro AS total
FROM discrepancies AS discrepancy
JOIN credit_readings AS reading ON reading.id = discrepancy.subject::bigint
JOIN credit_readings AS before ON before.id = reading.previous_id
WHERE {{ open(discrepancy=discrepancy) }} AND discrepancy.kind = 'credits'
