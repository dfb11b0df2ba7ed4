-- Which requests of ours were accepted that were sent in this window?
SELECT upstream_id, sent_at FROM jobs
WHERE sent_at >= :since AND sent_at < :until AND upstream_id IS NOT NULL AND withdrawn_at IS NULL
