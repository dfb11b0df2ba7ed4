-- Whether a worker other than :process_id was alive at {moment}.at, has not stopped normally, and has not vouched for
-- {moment}.server. Alive means: its last heartbeat is within {moment}.seconds of the last heartbeat of all by then.
EXISTS (
    SELECT FROM processes AS worker
    WHERE worker.kind = 'worker' AND worker.stopped_at IS NULL AND worker.id <> :process_id
        AND worker.vouched_for IS DISTINCT FROM {moment}.server
        AND worker.beat_at > (SELECT max(beat_at) FROM processes WHERE beat_at <= {moment}.at)
            - make_interval(secs => {moment}.seconds)
)
