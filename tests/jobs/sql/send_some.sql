-- How many jobs are sent, where the others are claimed?
WITH held AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.id = ANY (:job_ids::uuid[]) FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET state = 'sending', revision = before.was_revision + 1, ready = false, owner = jobs.id, attempt = 1,
        lease_until = now()
    FROM held AS before WHERE jobs.id = before.id AND before.id = ANY (:sent_ids::uuid[])
    RETURNING {{ moved_columns }}, 'because' AS event_reason
), moved_events AS ({{ events_of(rows=moved) }}), taken AS (
    UPDATE jobs SET owner = jobs.id FROM held AS before WHERE jobs.id = before.id AND before.id <> ALL (:sent_ids::uuid[])
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }} UNION ALL {{ changes_of(rows=taken) }}), {{ counted }}
SELECT count(*) FROM moved
