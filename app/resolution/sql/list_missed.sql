-- Which requests of ours were missed, and never seen?
SELECT upstream_id FROM late_requests WHERE seen_at IS NULL
