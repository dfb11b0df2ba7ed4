-- Which claims of queued jobs have an expired lease?
-- Their jobs may be claimed again, except poisonous ones. An owner that is still alive has only lost an answer.
WITH stale AS (
    SELECT id FROM ({{ claimed_jobs }}) AS claimed WHERE lease_until < now()
), locked AS (
    SELECT job.id, {{ was }}, job.takeovers, {{ owner_is_alive(job=job) }} AS alive FROM jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT id FROM stale)) AND job.ready AND job.owner IS NOT NULL AND job.lease_until < now()
    FOR UPDATE OF job SKIP LOCKED
), moved AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL, takeovers = before.takeovers + (NOT before.alive)::integer
    FROM locked AS before WHERE jobs.id = before.id AND (before.alive OR before.takeovers < 2)
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT count(*) FROM moved
