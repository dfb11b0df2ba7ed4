-- How many unfinished jobs does this key have, as the first counts of its queue?
-- A key has a row in `queues` since it first had its own limits.
INSERT INTO queues (subject_id, tenant_id, queued, ready, claimed, in_flight)
SELECT
    :key_id, :tenant_id, count(*) FILTER (WHERE state = 'queued'), count(*) FILTER (WHERE ready),
    count(*) FILTER (WHERE state = 'queued' AND owner IS NOT NULL),
    count(*) FILTER (WHERE state IN ('sending', 'unknown', 'running'))
FROM jobs
WHERE tenant_id = :tenant_id AND key_id = :key_id AND state IN ('queued', 'sending', 'unknown', 'running')
