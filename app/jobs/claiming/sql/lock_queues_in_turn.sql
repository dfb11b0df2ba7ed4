-- Which tenants have their turn?
-- Returns the :tenants_max tenants with the lowest virtual time that have ready jobs and places for them, the tenants of keys
-- that have places for parked jobs, and of the next tenant only its virtual time. Their queues are locked. Locked queues of the
-- tenants in :passed_over (of all tenants if it is null) are skipped: their `weight` is null. For the other queues this waits
-- :lock_seconds, in the order in which all transactions lock queues.
WITH patience AS MATERIALIZED ({{ patience }}), in_turn AS MATERIALIZED (
    SELECT subject_id, virtual_time, row_number() OVER (ORDER BY virtual_time) AS place
    FROM queues WHERE runnable
    ORDER BY virtual_time LIMIT :tenants_max::bigint + 1
), with_parked_jobs AS MATERIALIZED (
    -- CASE: jobs are looked up only for keys that pass the cheap conditions
    SELECT tenant_id FROM queues
    WHERE {{ key_has_room }} AND CASE WHEN {{ tenant_is_paused(queue=queues) }} THEN false
        ELSE (
            SELECT true FROM jobs AS job
            WHERE job.key_id = queues.subject_id AND job.state = 'queued' AND job.due_at = 'infinity' AND {{ may_submit(job=job) }}
                AND (job.deadline_at IS NULL OR job.deadline_at > now()) LIMIT 1
        )
    END
    LIMIT 20 -- a literal: for a parameter the planner expects a tenth of the table
), reached AS MATERIALIZED (
    SELECT subject_id, tenant_id, tenant_id = ANY (:passed_over::uuid[]) IS NOT FALSE AS passed FROM queues
    WHERE tenant_id = ANY (ARRAY(
        SELECT subject_id FROM in_turn WHERE place <= :tenants_max::bigint UNION SELECT tenant_id FROM with_parked_jobs
    ))
), waited_for AS MATERIALIZED (
    SELECT subject_id, weight, virtual_time, max_in_flight, ready, claimed, in_flight, kept_out FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM reached WHERE NOT passed)) AND (SELECT taken FROM patience)
    ORDER BY subject_id
    FOR UPDATE
), free AS MATERIALIZED (
    SELECT subject_id, weight, virtual_time, max_in_flight, ready, claimed, in_flight, kept_out FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM reached WHERE passed))
        -- always true: takes the locks that may wait first
        AND (SELECT count(*) FROM waited_for) >= 0
    ORDER BY subject_id
    FOR UPDATE SKIP LOCKED
)
SELECT
    subject_id, reached.tenant_id, locked.weight, locked.virtual_time, locked.max_in_flight, locked.ready,
    locked.claimed, locked.in_flight, locked.kept_out, in_turn.place, in_turn.virtual_time AS turn_at
FROM reached LEFT JOIN (TABLE waited_for UNION ALL TABLE free) AS locked USING (subject_id)
FULL JOIN in_turn USING (subject_id)
