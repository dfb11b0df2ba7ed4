-- Since when must the history be read?
-- In full depth for attempts that may be proven absent, otherwise only to the attempts themselves.
SELECT
    least(
        (SELECT min(sent_at) FROM attempts
            WHERE outcome = 'unknown' AND sent_at > now() - make_interval(secs => :horizon_seconds)
                AND ({{ is_unresolved }} OR resolved_at > now() - make_interval(secs => :watched_seconds))),
        (SELECT min(happened_at) FROM contested_requests
            WHERE settled_at IS NULL AND happened_at > now() - make_interval(secs => :horizon_seconds))
    ) AS since,
    (SELECT max(sent_at) FROM attempts
        WHERE outcome = 'unknown' AND {{ is_unresolved }} AND sent_at > now() - make_interval(secs => :horizon_seconds)) AS newest_at
