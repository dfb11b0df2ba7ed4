-- The same as `counted`, if the CTE {held} has locked these queues and returns their counts.
queue_moves AS MATERIALIZED ({{ queue_moves }}), counted AS (
    UPDATE queues SET queued = held.queued + moves.queued, ready = held.ready + moves.ready,
        claimed = held.claimed + moves.claimed, in_flight = held.in_flight + moves.in_flight
    FROM queue_moves AS moves JOIN {held} AS held USING (subject_id)
    WHERE queues.subject_id = moves.subject_id AND queues.subject_id = ANY (ARRAY(SELECT subject_id FROM {held}))
    RETURNING queues.runnable OR queues.kept_out AS runnable
)
