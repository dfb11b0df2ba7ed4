-- Which open discrepancy was asked about, so that others are next?
UPDATE discrepancies SET last_seen_at = now() WHERE kind = :kind AND subject = :subject AND settled_at IS NULL
