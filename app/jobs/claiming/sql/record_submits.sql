-- What are the outcomes of these attempts and the new states of their jobs?
-- A record is accepted while the attempt is the job's latest and the job has not ended, also if a sweep has made the job
-- unknown. A later record changes nothing (see record_late). A repeated call after a lost answer changes nothing.
-- `cancel_requested_at` is written as it was read under lock: an UPDATE first checks CHECKs with the row of its snapshot.
WITH asked AS ({{ submit_records }}), patience AS MATERIALIZED ({{ patience }}), believed AS (
    SELECT asked.*, {{ was }}, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state IN ('queued', 'failed') THEN 'canceled'
            ELSE asked.to_state END AS state
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.attempt = asked.attempt
    WHERE job.state IN ('sending', 'unknown') AND job.state <> asked.to_state AND (SELECT taken FROM patience)
    ORDER BY job.id FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = before.state, revision = before.was_revision + (before.state <> before.was_state)::integer,
        cancel_requested_at = before.cancel_requested_at, takeovers = 0, lease_until = NULL, owner = NULL,
        due_at = CASE WHEN before.state NOT IN ('failed', 'canceled') THEN now() + make_interval(secs => before.due_seconds) END,
        ready = before.state = 'queued' AND before.due_seconds <= 0,
        finished_at = CASE WHEN before.state IN ('failed', 'canceled') THEN now() END,
        submitted_at = CASE WHEN before.state = 'running' THEN now() END,
        upstream_id = before.upstream_id, upstream_state = before.upstream_state,
        error_code = CASE WHEN before.state = 'failed' THEN before.error_code END,
        retries = CASE WHEN before.retry THEN least(jobs.retries + 1, 1000) ELSE 0 END
    FROM believed AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, before.reason AS event_reason, {{ ended_columns }}, jobs.attempt, before.reason
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, settled AS (
    UPDATE attempts SET outcome = before.outcome, settled_at = now(), upstream_id = before.upstream_id, sender_done = true
    FROM believed AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM believed WHERE state = 'failed'
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT 'submit', id, attempt, status_code, outcome, duration_seconds, detail FROM believed
)
SELECT id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro,
    price_rule, markup_micro, cost_micro, run_seconds, reason, attempt,
    (SELECT bool_or(runnable) FROM counted) AS runnable, {{ anything_forbidden }} AS forbidden
FROM moved
