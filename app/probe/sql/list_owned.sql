-- Which of these requests of the upstream belong to jobs or probes?
SELECT upstream_id FROM jobs WHERE upstream_id = ANY (:upstream_ids::text[])
UNION
SELECT upstream_id FROM upstream_observations WHERE upstream_id = ANY (:upstream_ids::text[])
UNION
SELECT upstream_id FROM probes WHERE upstream_id = ANY (:upstream_ids::text[])
