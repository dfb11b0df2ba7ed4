-- Which request has the job that is to get another one? It is locked before everything else.
SELECT upstream_id FROM jobs WHERE id = :job_id FOR UPDATE
