-- Which queues have other limits or another weight than their tenant or key?
WITH found AS (
    SELECT tenant.id FROM tenants AS tenant LEFT JOIN queues ON queues.subject_id = tenant.id
    WHERE queues.subject_id IS NULL
        OR (queues.weight, queues.max_in_flight, queues.max_queued)
            IS DISTINCT FROM (tenant.weight, tenant.max_in_flight, tenant.max_queued)
    UNION ALL
    SELECT key.id FROM api_keys AS key LEFT JOIN queues ON queues.subject_id = key.id
    WHERE (queues.max_in_flight, queues.max_queued) IS DISTINCT FROM (key.max_in_flight, key.max_queued)
), counted AS (
    SELECT count(*) AS number FROM queues
), {{ proof }}
