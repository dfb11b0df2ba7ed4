-- Which requests of ours did a read not have, although they are old enough?
INSERT INTO late_requests (upstream_id, sent_at, missed_at)
SELECT upstream_id, sent_at, now() FROM unnest(:upstream_id::text[], :sent_at::timestamptz[]) AS missed (upstream_id, sent_at)
ON CONFLICT (upstream_id) DO UPDATE SET missed_at = now() WHERE late_requests.seen_at IS NULL
