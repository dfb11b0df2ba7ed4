-- Which of these requests are contested?
INSERT INTO contested_requests (upstream_id, model, happened_at)
SELECT * FROM unnest(:upstream_id::text[], :model::text[], :happened_at::timestamptz[])
ON CONFLICT (upstream_id) DO NOTHING
