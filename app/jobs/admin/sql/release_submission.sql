-- How does an unknown job end if an operator has established that it never started?
-- It is not sent again.
WITH unknown AS (
    SELECT job.id, {{ was }}, job.attempt, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END AS to_state
    FROM jobs AS job WHERE job.id = :job_id AND job.state = 'unknown'
    FOR UPDATE OF job
), resolved AS (
    UPDATE attempts SET resolution = 'operator', resolved_at = now()
    FROM unknown AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), moved AS (
    UPDATE jobs SET state = before.to_state, revision = before.was_revision + 1,
        cancel_requested_at = before.cancel_requested_at, due_at = NULL, finished_at = now(), lease_until = NULL, owner = NULL,
        error_code = CASE before.to_state WHEN 'failed' THEN 'submission_unknown' END
    FROM unknown AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'released' AS event_reason, {{ ended_columns }}
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, results AS (
    INSERT INTO job_results (job_id, message)
    SELECT id, 'the answer to the submission was lost; an operator has found that it did not arrive'
    FROM moved WHERE state = 'failed'
)
SELECT id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro,
    price_rule, markup_micro, cost_micro, run_seconds, 'released' AS reason
FROM moved
