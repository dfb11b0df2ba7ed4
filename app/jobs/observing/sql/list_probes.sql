-- Which pauses that the upstream caused have a probe, or may send the next one, and what is the state of the probe?
SELECT
    pause.id, pause.tenant_id, pause.model, pause.probe_job_id, job.state, job.tenant_id AS job_tenant_id,
    coalesce(job.submitted_at IS NOT NULL, false) AS accepted,
    extract(epoch FROM now() - pause.probe_at)::double precision AS overdue_seconds
FROM pauses AS pause LEFT JOIN jobs AS job ON job.id = pause.probe_job_id
WHERE pause.probe_at IS NOT NULL AND (pause.probe_job_id IS NOT NULL OR pause.probe_at <= now())
ORDER BY pause.probe_at LIMIT :probes_max
