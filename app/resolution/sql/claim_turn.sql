-- Is it this worker's turn to read the history?
-- A read is due at its time, and sooner for attempts that have become unknown since the last one.
UPDATE history_watch SET owner = :owner, lease_until = now() + make_interval(secs => :lease_seconds)
WHERE (lease_until IS NULL OR lease_until < now())
    AND (
        next_at <= now()
        OR (
            coalesce(read_at, 'epoch') < now() - make_interval(secs => :soonest_seconds)
            AND EXISTS (
                SELECT FROM attempts
                WHERE outcome = 'unknown' AND {{ is_unresolved }} AND sent_at > now() - make_interval(secs => :horizon_seconds)
                    AND settled_at > coalesce(read_at, 'epoch')
            )
        )
    )
    AND (
        EXISTS (
            SELECT FROM attempts
            WHERE outcome = 'unknown' AND sent_at > now() - make_interval(secs => :horizon_seconds)
                AND ({{ is_unresolved }} OR resolved_at > now() - make_interval(secs => :watched_seconds))
        )
        OR EXISTS (SELECT FROM contested_requests
            WHERE settled_at IS NULL AND happened_at > now() - make_interval(secs => :horizon_seconds))
    )
RETURNING now() AS at, resubmits_refuted_at IS NULL AS may_resubmit
