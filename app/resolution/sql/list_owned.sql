-- Which of these requests of the upstream belong to a job, or were given to one too late?
SELECT upstream_id FROM jobs WHERE upstream_id = ANY (:upstream_ids::text[])
UNION
SELECT upstream_id FROM upstream_observations WHERE upstream_id = ANY (:upstream_ids::text[])
