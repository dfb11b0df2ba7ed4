-- Have all workers that were alive when the database moved vouched for it, and has a lease passed since the doubt?
-- Until then a worker that misses something may raise the doubt `older`.
SELECT doubt = 'moved' AND doubted_at < now() - make_interval(secs => :lease_seconds) AND NOT {{ unaccounted(moment=move) }}
FROM books CROSS JOIN LATERAL (
    SELECT
        {{ server }} AS server, books.doubted_at AS at,
        greatest(4 * :lease_seconds::double precision, :recent_seconds) AS seconds
) AS move
