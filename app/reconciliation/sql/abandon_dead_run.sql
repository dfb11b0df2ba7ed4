-- Which open run has an expired lease?
UPDATE reconciliations SET finished_at = now(), result = 'abandoned', detail = 'its process died'
WHERE finished_at IS NULL AND lease_until < now()
