-- Which open discrepancy was just checked, so that others are checked next?
UPDATE discrepancies SET last_seen_at = now() WHERE kind = :kind AND subject = :subject AND settled_at IS NULL
