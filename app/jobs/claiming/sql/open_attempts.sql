-- Which of these claims may send an attempt?
-- Only a claim that is still valid. If a pause has begun since, the claim is released. This is committed before the first byte
-- is sent. A claim opens at most one attempt. If the job has this fence and is no longer queued, and its attempt belongs to
-- this worker, an earlier call opened the attempt, and its answer was lost. The worker must be compared, too: after a crash
-- Postgres may have lost a claim and given its fence to another worker. For a job that is sending, the owner in its own row is
-- compared: the row of the attempt is not visible if the earlier call committed while this one waited for it.
WITH asked AS (
    SELECT * FROM unnest(:id::uuid[], :fence::bigint[]) AS asked (id, fence)
), patience AS MATERIALIZED ({{ patience }}), held AS (
    SELECT job.id, {{ was }}, job.fence, job.attempt, {{ may_submit(job=job) }} AS may_submit
    FROM jobs AS job JOIN asked ON asked.id = job.id AND asked.fence = job.fence
    WHERE (CASE job.state
            WHEN 'queued' THEN job.owner = :owner AND job.lease_until > now()
            WHEN 'sending' THEN job.owner = :owner
            WHEN 'unknown' THEN EXISTS (
                SELECT FROM attempts AS opened
                WHERE opened.job_id = job.id AND opened.attempt = job.attempt AND opened.worker = :owner
            )
        END) AND (SELECT taken FROM patience)
    ORDER BY job.id
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = 'sending', revision = before.was_revision + 1, ready = false, attempt = jobs.attempt + 1,
        sent_at = now(), lease_until = now() + make_interval(secs => :lease_seconds)
    FROM held AS before WHERE jobs.id = before.id AND before.was_state = 'queued' AND before.may_submit
    RETURNING {{ moved_columns }}, 'sending' AS event_reason, jobs.fence, jobs.attempt
), moved_events AS ({{ events_of(rows=moved) }}), stopped AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL, takeovers = 0
    FROM held AS before WHERE jobs.id = before.id AND before.was_state = 'queued' AND NOT before.may_submit
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }} UNION ALL {{ changes_of(rows=stopped) }}), {{ counted }}, opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at) SELECT id, attempt, :owner, now() FROM moved
)
SELECT id, fence, attempt FROM moved
UNION ALL
SELECT id, fence, attempt FROM held WHERE was_state <> 'queued'
