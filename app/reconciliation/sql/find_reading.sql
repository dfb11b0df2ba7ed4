-- Which reading of the company's credits has this id, or is the last one?
SELECT id, asked_at, at, paid_micro + free_micro AS total FROM credit_readings
WHERE :reading_id::bigint IS NULL OR id = :reading_id ORDER BY id DESC LIMIT 1
