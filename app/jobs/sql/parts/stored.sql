-- The CTEs that store the jobs of the CTE `accepted` as queued, each with its first event.
-- One level of priority equals one minute of waiting, so a job that has waited long enough goes before more urgent ones. A
-- `not_before` in the past does not count as waiting.
stored AS (
    INSERT INTO jobs (state, ready, due_at, rank_at, id, tenant_id, key_id, surface, model, priority, created_at, deadline_at,
        idempotency_key, fingerprint, held_micro, price_rule, markup_micro, on_unknown)
    SELECT 'queued', not_before IS NULL OR not_before <= now(), greatest(not_before, created_at),
        greatest(not_before, created_at) - priority * interval '1 minute', id, tenant_id, key_id, surface, model, priority,
        created_at, deadline_at, idempotency_key, fingerprint, held_micro, price_rule, markup_micro, on_unknown
    FROM accepted RETURNING id, tenant_id, key_id, state, ready, revision
), stored_events AS (
    INSERT INTO job_events (job_id, seq, to_state, reason) SELECT id, revision, state, 'submitted' FROM stored
)
