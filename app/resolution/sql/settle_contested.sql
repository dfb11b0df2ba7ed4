-- Which contested requests are settled: these, those that have an owner by now, and those that are too old to be looked for?
UPDATE contested_requests SET settled_at = now()
WHERE settled_at IS NULL AND (
    happened_at < now() - make_interval(secs => :horizon_seconds)
    OR upstream_id = ANY (:upstream_ids::text[])
    OR EXISTS (SELECT FROM jobs WHERE jobs.upstream_id = contested_requests.upstream_id)
    OR EXISTS (SELECT FROM upstream_observations AS seen WHERE seen.upstream_id = contested_requests.upstream_id)
)
