-- Which jobs own these requests, or were given these ids too late?
SELECT {{ job }}, asked.upstream_id AS asked_id, false AS late
FROM unnest(:upstream_ids::text[]) AS asked (upstream_id) JOIN jobs AS job ON job.upstream_id = asked.upstream_id
UNION ALL
SELECT {{ job }}, seen.upstream_id, true
FROM upstream_observations AS seen JOIN jobs AS job ON job.id = seen.job_id
WHERE seen.upstream_id = ANY (:upstream_ids::text[]) AND job.upstream_id IS DISTINCT FROM seen.upstream_id
