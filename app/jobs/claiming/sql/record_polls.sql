-- What are the new states of these running jobs?
-- Only records with the job's current fence are written.
WITH asked AS ({{ poll_records }}), patience AS MATERIALIZED ({{ patience }}), held AS (
    SELECT asked.*, {{ was }}, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NOT NULL AND asked.to_state <> 'running' THEN 'canceled' ELSE asked.to_state END AS state,
        asked.upstream_state IS DISTINCT FROM job.upstream_state AS changed
    FROM asked JOIN jobs AS job ON job.id = asked.id AND job.fence = asked.fence
    WHERE job.state = 'running' AND (SELECT taken FROM patience) ORDER BY job.id FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = before.state, revision = before.was_revision + (before.state <> before.was_state OR before.changed)::integer,
        cancel_requested_at = before.cancel_requested_at, takeovers = 0, lease_until = NULL, owner = NULL,
        due_at = CASE WHEN before.state = 'running' THEN now() + make_interval(secs => before.due_seconds) END,
        finished_at = CASE WHEN before.state <> 'running' THEN now() END,
        started_at = CASE WHEN before.upstream_state IN ('PROCESSING', 'COMPLETED') THEN coalesce(jobs.started_at, now())
            ELSE jobs.started_at END,
        gone_since = CASE WHEN before.gone THEN coalesce(jobs.gone_since, now()) END, charged_micro = before.charge_micro,
        upstream_state = coalesce(before.upstream_state, jobs.upstream_state), polls = jobs.polls + 1,
        unreadable = CASE WHEN before.unreadable THEN least(jobs.unreadable + 1, 1000) WHEN before.retry THEN jobs.unreadable ELSE 0 END,
        retries = CASE WHEN before.retry THEN least(jobs.retries + 1, 1000) ELSE 0 END,
        error_code = CASE WHEN before.state = 'failed' THEN before.error_code END,
        run_seconds = before.run_seconds, detection_seconds = before.detection_seconds, cost_micro = coalesce(before.cost_micro, jobs.cost_micro)
    FROM held AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, before.reason AS event_reason, {{ ended_columns }}, before.reason,
        before.state = 'running' AND before.upstream_state = 'PROCESSING' AND jobs.started_at = now() AS started
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, results AS (
    INSERT INTO job_results (job_id, body, message, original)
    SELECT id, body, message, original FROM held WHERE state IN ('completed', 'failed')
), exchanges AS (
    INSERT INTO upstream_exchanges (kind, job_id, attempt, status_code, outcome, duration_seconds, detail)
    SELECT * FROM unnest(:exchange_kind::text[], :exchange_job_id::uuid[], :exchange_attempt::smallint[],
        :exchange_status_code::smallint[], :exchange_outcome::text[], :exchange_duration_seconds::double precision[],
        :exchange_detail::text[])
)
SELECT id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro,
    price_rule, markup_micro, cost_micro, run_seconds, reason, started, (SELECT bool_or(runnable) FROM counted) AS runnable FROM moved
