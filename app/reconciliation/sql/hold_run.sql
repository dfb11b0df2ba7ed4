-- Is this run still open, with a new lease?
UPDATE reconciliations SET lease_until = now() + make_interval(secs => :lease_seconds) WHERE id = :run_id AND finished_at IS NULL
