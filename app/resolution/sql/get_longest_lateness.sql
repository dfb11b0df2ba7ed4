-- How late was the latest request of ours in the last days?
SELECT coalesce(max(extract(epoch FROM seen_at - sent_at)), 0)::double precision FROM late_requests
WHERE sent_at > now() - make_interval(days => :days)
