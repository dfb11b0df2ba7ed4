-- Which open discrepancies of this kind were not found this time?
UPDATE discrepancies SET settled_at = now()
WHERE kind = :kind AND settled_at IS NULL AND subject <> ALL(:subjects::text[])
