-- Which probes were sent in this window, and have no known id?
SELECT model, body, sent_at, id FROM probes
WHERE sent_at >= :since AND sent_at < :until AND upstream_id IS NULL AND outcome = 'unknown'
ORDER BY sent_at
