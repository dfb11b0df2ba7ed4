-- Does this worker still read the history?
UPDATE history_watch SET lease_until = now() + make_interval(secs => :lease_seconds) WHERE owner = :owner
