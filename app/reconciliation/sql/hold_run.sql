-- Is this run still open, and until when is its lease valid?
UPDATE reconciliations SET lease_until = now() + make_interval(secs => :lease_seconds) WHERE id = :run_id AND finished_at IS NULL
