-- When is the history read next?
UPDATE history_watch SET owner = NULL, lease_until = NULL, next_at = now() + make_interval(secs => :wait_seconds),
    read_at = coalesce(:read_at, read_at), lag_seconds = coalesce(:lag_seconds, lag_seconds)
WHERE owner = :owner
