-- A query: how the jobs of the CTE {rows}, which has changed them, change each count of the queues of their tenants and keys.
SELECT tenant_id, key_id, (state = 'queued')::integer - (was_state = 'queued')::integer AS queued,
    ready::integer - was_ready::integer AS ready,
    (state = 'queued' AND owner IS NOT NULL)::integer - (was_state = 'queued' AND was_owner IS NOT NULL)::integer AS claimed,
    (state IN ('sending', 'unknown', 'running'))::integer - (was_state IN ('sending', 'unknown', 'running'))::integer AS in_flight
FROM {rows}
