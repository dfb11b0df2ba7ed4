-- When is the first byte of this probe sent?
UPDATE probes SET sent_at = now() WHERE id = :probe_id AND sent_at IS NULL RETURNING sent_at
