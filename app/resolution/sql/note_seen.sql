-- Which requests that an earlier read did not have are there now?
UPDATE late_requests SET seen_at = now() WHERE seen_at IS NULL AND upstream_id = ANY (:upstream_ids::text[])
