CREATE VIEW ops.queue_now AS
SELECT
    tenant.name AS tenant,
    tenant.id AS tenant_id,
    count(*) FILTER (WHERE job.state = 'queued') AS queued,
    count(*) FILTER (WHERE job.state IN ('sending', 'unknown', 'running')) AS in_flight,
    count(*) FILTER (WHERE job.state = 'unknown') AS unknown,
    coalesce(
        extract(epoch FROM now() - min(job.created_at) FILTER (WHERE job.state = 'queued')), 0
    )::double precision AS oldest_seconds
FROM tenants AS tenant
LEFT JOIN jobs AS job
    ON job.tenant_id = tenant.id AND job.state IN ('queued', 'sending', 'unknown', 'running')
GROUP BY tenant.id, tenant.name

COMMENT ON VIEW ops.queue_now IS 'What each tenant has waiting and under way at this moment.'

COMMENT ON COLUMN ops.queue_now.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.queue_now.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.queue_now.queued IS 'Jobs not yet sent.'

COMMENT ON COLUMN ops.queue_now.in_flight IS 'Jobs sent and not finished, unknown ones among them.'

COMMENT ON COLUMN ops.queue_now.unknown IS 'Jobs that may or may not have reached the upstream.'

COMMENT ON COLUMN ops.queue_now.oldest_seconds IS 'Age of the oldest job not yet sent; 0 when none waits.'
