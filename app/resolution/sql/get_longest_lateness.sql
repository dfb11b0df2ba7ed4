-- How late was the latest request of ours in the last days?
-- If the history was not read for a while, it may have been there soon after the read that missed it.
SELECT coalesce(max(extract(epoch FROM least(seen_at, missed_at + make_interval(secs => :gap_seconds)) - sent_at)), 0)::double precision
FROM late_requests WHERE seen_at IS NOT NULL AND sent_at > now() - make_interval(days => :days)
