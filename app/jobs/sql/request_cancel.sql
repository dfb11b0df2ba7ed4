-- Can this job of a tenant be canceled now?
-- Only a queued one can. For a job in flight the request is recorded.
WITH held AS (
    SELECT job.id, {{ was }}, job.cancel_requested_at FROM jobs AS job
    WHERE job.id = :job_id AND job.tenant_id = :tenant_id
    FOR UPDATE OF job
), unfinished AS (
    SELECT * FROM held WHERE was_state NOT IN ('completed', 'failed', 'canceled')
), moved AS (
    UPDATE jobs SET state = CASE jobs.state WHEN 'queued' THEN 'canceled' ELSE jobs.state END,
        revision = before.was_revision + (before.was_state = 'queued' OR before.cancel_requested_at IS NULL)::integer,
        cancel_requested_at = coalesce(jobs.cancel_requested_at, now()), ready = false,
        finished_at = CASE jobs.state WHEN 'queued' THEN now() END,
        due_at = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.due_at END,
        lease_until = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.lease_until END,
        owner = CASE jobs.state WHEN 'queued' THEN NULL ELSE jobs.owner END
    FROM unfinished AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'cancel_requested' AS event_reason, {{ ended_columns }}
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id, moved.tenant_id, moved.key_id, coalesce(moved.state, held.was_state) AS state,
    moved.revision, moved.model, moved.error_code, moved.upstream_id, moved.finished_at, moved.held_micro, moved.charged_micro,
    moved.price_rule, moved.markup_micro, moved.cost_micro, moved.run_seconds, 'cancel_requested' AS reason,
    held.was_state AS from_state
FROM held LEFT JOIN moved USING (id)
