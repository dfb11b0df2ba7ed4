-- Which contested requests are settled: these, and those that have an owner by now?
UPDATE contested_requests SET settled_at = now()
WHERE settled_at IS NULL AND (
    upstream_id = ANY (:upstream_ids::text[])
    OR EXISTS (SELECT FROM jobs WHERE jobs.upstream_id = contested_requests.upstream_id)
    OR EXISTS (SELECT FROM upstream_observations AS seen WHERE seen.upstream_id = contested_requests.upstream_id)
)
