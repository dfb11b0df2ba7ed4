-- Whose attempt may be sent?
-- Only a claim's that still holds; where a pause has come since, the claim is given back. This is committed before the first byte.
-- A claim opens one attempt at most: where its fence still stands on a job that is queued no more, and the attempt is this worker's,
-- an earlier call opened it, and its answer was lost. Another worker's may have the same fence: after a crash of Postgres a claim may
-- be forgotten, and its fence given out again. Whose a job is that is being sent is said by its own row: that of the attempt cannot
-- be seen where the earlier call ended while this one waited for it.
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
