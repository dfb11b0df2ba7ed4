-- Which request did this attempt turn out to have made?
UPDATE attempts SET outcome = 'accepted', upstream_id = :upstream_id, contested = false
WHERE job_id = :job_id AND attempt = :attempt AND outcome = 'unknown'
