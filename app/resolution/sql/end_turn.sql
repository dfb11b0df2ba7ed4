-- When is the history read next?
-- A history that cannot be read is left alone until then, also if more attempts become unknown.
UPDATE history_watch SET owner = CASE WHEN :unreadable THEN owner END, next_at = now() + make_interval(secs => :wait_seconds),
    lease_until = CASE WHEN :unreadable THEN now() + make_interval(secs => :wait_seconds) END,
    read_at = coalesce(:read_at, read_at), lag_seconds = coalesce(:lag_seconds, lag_seconds)
WHERE owner = :owner
