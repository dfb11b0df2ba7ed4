-- Which of these open discrepancies are settled?
UPDATE discrepancies SET settled_at = now()
FROM unnest(:kind::text[], :subject::text[]) AS gone (kind, subject)
WHERE discrepancies.kind = gone.kind AND discrepancies.subject = gone.subject AND settled_at IS NULL
