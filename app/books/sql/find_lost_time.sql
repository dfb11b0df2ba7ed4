-- Since when may jobs have been sent that the database does not have?
SELECT
    coalesce(
        -- the last heartbeat of a process before the doubt
        (
            SELECT max(beat_at) FROM processes
            WHERE beat_at < coalesce(books.doubted_at, now()) - make_interval(secs => 1)
        ),
        now() - make_interval(days => :days)
    ) AS last_at,
    coalesce(doubted_at, now()) AS doubted_at, now() AS now
FROM books
