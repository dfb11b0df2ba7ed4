-- The same as `counted`, if an earlier statement of the transaction has locked these queues. A CTE `times` (subject_id,
-- virtual_time) has the new virtual times of queues whose counts change here.
queue_moves AS MATERIALIZED ({{ queue_moves }}), counted AS (
    UPDATE queues SET queued = queues.queued + moves.queued, ready = queues.ready + moves.ready,
        claimed = queues.claimed + moves.claimed, in_flight = queues.in_flight + moves.in_flight,
        virtual_time = greatest(queues.virtual_time, times.virtual_time)
    FROM queue_moves AS moves LEFT JOIN times USING (subject_id)
    WHERE queues.subject_id = moves.subject_id AND queues.subject_id = ANY (ARRAY(SELECT subject_id FROM queue_moves))
    RETURNING queues.runnable OR queues.kept_out AS runnable
)
