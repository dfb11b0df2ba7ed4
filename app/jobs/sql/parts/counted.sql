-- The CTEs that add the changes of the CTE `changes` to the counts of the queues. The last one, `counted`, returns for each queue
-- whether its next job is `runnable` now, or may be. Lock order: jobs, then queues by their id, then balances.
-- The counts are added to values that were read under lock: an UPDATE first checks CHECKs with the row of its snapshot, before it
-- sees that another transaction has changed the row.
queue_moves AS MATERIALIZED ({{ queue_moves }}), queue_locks AS MATERIALIZED (
    SELECT subject_id, queued, ready, claimed, in_flight FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM queue_moves WHERE queued <> 0 OR ready <> 0 OR claimed <> 0 OR in_flight <> 0))
    ORDER BY subject_id FOR UPDATE
), counted AS (
    UPDATE queues SET queued = held.queued + moves.queued, ready = held.ready + moves.ready,
        claimed = held.claimed + moves.claimed, in_flight = held.in_flight + moves.in_flight
    FROM queue_moves AS moves JOIN queue_locks AS held USING (subject_id)
    WHERE queues.subject_id = moves.subject_id AND queues.subject_id = ANY (ARRAY(SELECT subject_id FROM queue_locks))
    RETURNING queues.runnable OR queues.kept_out AS runnable
)
