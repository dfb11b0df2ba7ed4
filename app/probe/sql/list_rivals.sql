-- Which bodies were sent to this model in this window, by jobs and other probes whose request is not known?
SELECT input.body
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.sent_at >= :since AND job.sent_at < :until AND job.model = :model AND job.upstream_id IS NULL
UNION ALL
SELECT body FROM probes
WHERE sent_at >= :since AND sent_at < :until AND model = :model AND upstream_id IS NULL AND outcome = 'unknown'
    AND id <> :probe_id
