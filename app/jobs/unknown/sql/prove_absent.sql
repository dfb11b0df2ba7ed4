-- What becomes of these unknown jobs, whose latest attempt did not arrive?
-- A job is sent once more only if its tenant wants that, and only once. If the sender was given an id after all, nothing changes.
WITH asked AS (
    SELECT * FROM unnest(:job_id::uuid[], :attempt::smallint[]) AS asked (job_id, attempt)
), unknown AS (
    SELECT job.id, {{ was }}, job.attempt, job.cancel_requested_at, CASE
            WHEN job.cancel_requested_at IS NOT NULL THEN 'canceled'
            WHEN job.on_unknown = 'resubmit' AND :may_resubmit AND NOT EXISTS (
                SELECT FROM attempts AS before WHERE before.job_id = job.id AND before.resolution = 'proven_absent'
            ) THEN 'queued'
            ELSE 'failed'
        END AS to_state
    FROM jobs AS job JOIN asked ON asked.job_id = job.id AND asked.attempt = job.attempt
    WHERE job.state = 'unknown' AND NOT EXISTS (SELECT FROM upstream_observations AS seen WHERE seen.job_id = job.id)
    ORDER BY job.id FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET resolution = 'proven_absent', resolved_at = now(), contested = false
    FROM unknown AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), moved AS (
    UPDATE jobs SET state = before.to_state, revision = before.was_revision + 1,
        cancel_requested_at = before.cancel_requested_at, ready = before.to_state = 'queued', lease_until = NULL, owner = NULL,
        due_at = CASE before.to_state WHEN 'queued' THEN now() END,
        finished_at = CASE WHEN before.to_state <> 'queued' THEN now() END,
        error_code = CASE before.to_state WHEN 'failed' THEN 'submission_unknown' END
    FROM unknown AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, CASE jobs.state WHEN 'queued' THEN 'resubmitted' ELSE 'proven_absent' END AS event_reason,
        {{ ended_columns }}
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, results AS (
    INSERT INTO job_results (job_id, message)
    SELECT id, 'the answer to the submission was lost; the upstream''s history shows that it did not arrive'
    FROM moved WHERE state = 'failed'
)
SELECT id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro,
    price_rule, markup_micro, cost_micro, run_seconds, 'proven_absent' AS reason
FROM moved
