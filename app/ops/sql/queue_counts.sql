-- Which queues have counts that differ from those of their jobs?
-- A key has counts only if it has, or had, its own limits.
WITH found AS (
    WITH unfinished AS (
        SELECT
            tenant_id, key_id, count(*) FILTER (WHERE state = 'queued') AS queued, count(*) FILTER (WHERE ready) AS ready,
            count(*) FILTER (WHERE state = 'queued' AND owner IS NOT NULL) AS claimed,
            count(*) FILTER (WHERE state <> 'queued') AS in_flight
        FROM jobs WHERE state IN ('queued', 'sending', 'unknown', 'running')
        GROUP BY tenant_id, key_id
    ), real AS (
        SELECT tenant_id AS subject_id, sum(queued) AS queued, sum(ready) AS ready, sum(claimed) AS claimed, sum(in_flight) AS in_flight
        FROM unfinished GROUP BY tenant_id
        UNION ALL
        SELECT key_id, sum(queued), sum(ready), sum(claimed), sum(in_flight)
        FROM unfinished WHERE key_id IN (SELECT subject_id FROM queues) GROUP BY key_id
    )
    SELECT coalesce(queues.subject_id, real.subject_id) AS id
    FROM queues FULL JOIN real ON real.subject_id = queues.subject_id
    WHERE queues.subject_id IS NULL
        OR (queues.queued, queues.ready, queues.claimed, queues.in_flight)
            <> (coalesce(real.queued, 0), coalesce(real.ready, 0), coalesce(real.claimed, 0), coalesce(real.in_flight, 0))
), counted AS (
    SELECT count(*) AS number FROM queues
), {{ proof }}
