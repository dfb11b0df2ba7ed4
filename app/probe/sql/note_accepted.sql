-- Which request of the upstream is this probe?
-- No row if it is known already, or if the probe was never started.
UPDATE probes SET upstream_id = :upstream_id
WHERE id = :probe_id AND sent_at IS NOT NULL AND upstream_id IS NULL AND outcome = 'unknown'
RETURNING id
