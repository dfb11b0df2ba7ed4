-- What do operators see of this job?
-- RFC 3339 has no infinite due_at, as a parked job has it: `paused` shows it instead.
SELECT
    job.id, job.tenant_id, tenant.name AS tenant, job.key_id, job.surface, job.model, job.state, job.priority,
    job.created_at, nullif(job.due_at, 'infinity') AS due_at, job.due_at = 'infinity' AS paused, job.deadline_at,
    job.lease_until, job.owner, job.fence, job.attempt, job.retries, job.takeovers, job.sent_at, job.submitted_at,
    job.started_at, job.gone_since, job.finished_at, job.cancel_requested_at, job.upstream_id, job.upstream_state,
    job.polls, job.error_code, result.message, job.run_seconds, job.detection_seconds, job.cost_micro,
    job.held_micro, job.charged_micro, job.idempotency_key, job.on_unknown, job.late_result, job.recovered,
    job.withdrawn_at, octet_length(input.body) AS input_bytes, octet_length(result.body) AS result_bytes,
    input.metadata
FROM jobs AS job
JOIN tenants AS tenant ON tenant.id = job.tenant_id
LEFT JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = :job_id
