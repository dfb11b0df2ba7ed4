-- Which requests has the upstream itself accepted from us that were sent in this window?
-- Those found in the history are no witnesses of it.
SELECT upstream_id, sent_at FROM jobs
WHERE sent_at >= :since AND sent_at < :until AND upstream_id IS NOT NULL
    AND id NOT IN (SELECT job_id FROM attempts WHERE resolution IS NOT NULL AND sent_at >= :since)
