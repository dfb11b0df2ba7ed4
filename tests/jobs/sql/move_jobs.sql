-- How do jobs come to a place? It has an event also where the state stays and they were :told_where_ready.
WITH held AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:job_ids::uuid[]) FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = :state::text,
        revision = before.was_revision
            + (:state <> before.was_state OR coalesce(before.was_ready = :told_where_ready, false))::integer,
        ready = :ready, owner = CASE WHEN :owned THEN jobs.id END, attempt = 1, lease_until = CASE WHEN :owned THEN now() END,
        due_at = CASE WHEN :state NOT IN ('completed', 'failed', 'canceled') THEN now() END,
        finished_at = CASE WHEN :state IN ('completed', 'failed', 'canceled') THEN now() END,
        upstream_id = CASE WHEN :state IN ('running', 'completed') THEN jobs.id::text END,
        submitted_at = CASE WHEN :state IN ('running', 'completed') THEN now() END,
        error_code = CASE WHEN :state = 'failed' THEN 'upstream_failed' END,
        cancel_requested_at = CASE WHEN :state = 'canceled' THEN now() END
    FROM held AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'because' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT was_state, was_ready, was_owner FROM moved
