-- The end of an invariant: the number of checked things (`counted`), the number of wrong ones (`found`), and the first ten of
-- these.
wrong AS MATERIALIZED (SELECT DISTINCT id FROM found)
SELECT
    (SELECT number FROM counted)::bigint AS checked, (SELECT count(*) FROM wrong) AS wrong,
    ARRAY(SELECT id::text FROM wrong ORDER BY id LIMIT 10) AS examples
