-- Which of these unknown jobs run now with these requests of the upstream?
-- `submitted_at` is the time of the sending, from which the upstream's hour counts.
WITH asked AS ({{ adoptions }}), unknown AS (
    SELECT job.id, {{ was }}, job.attempt, asked.upstream_id
    FROM jobs AS job JOIN asked ON asked.job_id = job.id AND asked.attempt = job.attempt
    WHERE job.state = 'unknown' AND {{ is_free }}
    ORDER BY job.id FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET outcome = 'accepted', settled_at = now(), upstream_id = before.upstream_id,
        resolution = :resolution, resolved_at = now(), contested = false
    FROM unknown AS before WHERE attempts.job_id = before.id AND attempts.attempt = before.attempt
), moved AS (
    UPDATE jobs SET state = 'running', revision = before.was_revision + 1, upstream_id = before.upstream_id,
        upstream_state = 'QUEUED', submitted_at = coalesce(jobs.sent_at, now()), due_at = now(), retries = 0, takeovers = 0
    FROM unknown AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}, 'adopted' AS event_reason, jobs.attempt, jobs.fence, jobs.model, jobs.upstream_id,
        jobs.held_micro, jobs.price_rule, jobs.markup_micro
), moved_events AS ({{ events_of(rows=moved) }}), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT id, attempt, fence, model, upstream_id, held_micro, price_rule, markup_micro FROM moved
