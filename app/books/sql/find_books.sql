-- What is the database identity, and is everything there that processes remember?
SELECT
    books.books_id, {{ server }} AS server, books.server AS stamped, books.recoveries, books.doubt,
    EXISTS (SELECT FROM pauses WHERE reason = 'restored') AS stopped,
    (
        -- what is remembered of this database since its last recovery, and is missing
        SELECT count(*)
        FROM unnest(
            :books_id::uuid[], :known_process_id::uuid[], :recoveries::integer[], :beats::integer[], :job_id::uuid[],
            :attempt::integer[]
        ) AS known (books_id, process_id, recoveries, beats, job_id, attempt)
        WHERE known.books_id = books.books_id AND known.recoveries = books.recoveries AND (
            (known.beats IS NOT NULL AND NOT EXISTS (
                SELECT FROM processes WHERE id = known.process_id AND processes.beats >= known.beats
            )) OR (known.job_id IS NOT NULL AND NOT EXISTS (
                SELECT FROM attempts WHERE job_id = known.job_id AND attempts.attempt = known.attempt
            ))
        )
    ) AS missing,
    EXISTS (SELECT FROM jobs WHERE ready)
        OR EXISTS (SELECT FROM jobs WHERE state = 'queued' AND NOT ready) AS waiting,
    EXISTS (
        SELECT FROM processes
        WHERE id <> :process_id AND stopped_at IS NULL AND beat_at > now() - make_interval(secs => :lease_seconds)
    ) AS alive,
    {{ unaccounted(moment=present) }} AS unaccounted,
    now() AS now
FROM books CROSS JOIN (SELECT '' AS server, now() AS at, :recent_seconds::double precision AS seconds) AS present
