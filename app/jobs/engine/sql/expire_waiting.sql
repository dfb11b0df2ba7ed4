-- Which jobs were unknown for too long, or were not sent before their deadline, or had three owners in a row that died?
WITH overdue AS (
    SELECT job.id, {{ was }}, 'submission_unknown' AS code FROM jobs AS job
    WHERE job.state = 'unknown' AND job.due_at <= now() ORDER BY job.due_at LIMIT :jobs_max FOR UPDATE OF job SKIP LOCKED
), late AS (
    SELECT job.id, {{ was }}, 'deadline_exceeded' AS code FROM jobs AS job
    WHERE job.state = 'queued' AND job.deadline_at <= now() ORDER BY job.deadline_at LIMIT :jobs_max
    FOR UPDATE OF job SKIP LOCKED
), poisonous AS (
    SELECT job.id, {{ was }}, 'poison' AS code FROM jobs AS job
    WHERE job.takeovers >= 2 AND job.lease_until < now() AND NOT {{ owner_is_alive(job=job) }}
        AND (job.state = 'running' OR (job.state = 'queued' AND (job.deadline_at IS NULL OR job.deadline_at > now())))
    LIMIT :jobs_max FOR UPDATE OF job SKIP LOCKED
), due AS (
    SELECT * FROM overdue UNION ALL SELECT * FROM late UNION ALL SELECT * FROM poisonous
), moved AS (
    UPDATE jobs SET state = CASE WHEN jobs.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END,
        revision = before.was_revision + 1, lease_until = NULL, owner = NULL, ready = false, due_at = NULL, finished_at = now(),
        error_code = CASE WHEN jobs.cancel_requested_at IS NULL THEN before.code END
    FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, coalesce(jobs.error_code, 'canceled') AS event_reason, {{ ended_columns }}, jobs.attempt,
        before.code
), resolved AS (
    UPDATE attempts SET resolution = 'timed_out', resolved_at = now() FROM moved
    WHERE moved.code = 'submission_unknown' AND attempts.job_id = moved.id AND attempts.attempt = moved.attempt
    RETURNING attempts.job_id, attempts.contested
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}, results AS (
    INSERT INTO job_results (job_id, message)
    SELECT id, CASE error_code
        WHEN 'submission_unknown' THEN
            'the answer to the submission was lost; it is unknown whether it arrived, and it was not sent again'
        WHEN 'poison' THEN 'three workers in a row died or hung while they processed the job; it is not tried again'
        ELSE 'its deadline passed before it could be sent' END
    FROM moved WHERE state = 'failed'
)
SELECT id, tenant_id, key_id, state, revision, model, error_code, upstream_id, finished_at, held_micro, charged_micro,
    price_rule, markup_micro, cost_micro, run_seconds,
    CASE WHEN EXISTS (SELECT FROM resolved WHERE resolved.job_id = moved.id AND contested) THEN 'contested' ELSE code END AS reason
FROM moved
