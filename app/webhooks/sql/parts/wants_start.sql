-- Whether {job}, a row of jobs, has not started yet as far as known, and an endpoint or its own webhook wants `job.processing`.
({job}.started_at IS NULL AND (
    EXISTS (
        SELECT FROM webhook_endpoints AS endpoint
        WHERE endpoint.tenant_id = {job}.tenant_id AND endpoint.deleted_at IS NULL
            AND 'job.processing' = ANY (endpoint.events)
    )
    OR EXISTS (SELECT FROM job_webhooks AS hook WHERE hook.job_id = {job}.id AND 'job.processing' = ANY (hook.events))
))
