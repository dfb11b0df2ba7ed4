-- The end of an invariant about jobs, as in `proof`, with the ids as `job_…`.
wrong AS MATERIALIZED (SELECT DISTINCT id FROM found)
SELECT
    (SELECT number FROM counted)::bigint AS checked, (SELECT count(*) FROM wrong) AS wrong,
    ARRAY(SELECT 'job_' || replace(id::text, '-', '') FROM wrong ORDER BY id LIMIT 10) AS examples
