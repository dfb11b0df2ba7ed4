-- Is this run still ours, for a while longer?
UPDATE reconciliations SET lease_until = now() + make_interval(secs => :lease_seconds) WHERE id = :run_id AND finished_at IS NULL
