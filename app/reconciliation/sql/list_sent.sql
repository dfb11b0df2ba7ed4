-- Which ended jobs with an upstream id were sent in this window?
SELECT id, upstream_id FROM jobs
WHERE sent_at >= :since AND sent_at < :until AND upstream_id IS NOT NULL AND finished_at < :ended_before
