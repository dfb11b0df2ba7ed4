-- The end of an invariant: how many things were checked (`counted`) and are wrong (`found`), and the first ten wrong ones.
wrong AS MATERIALIZED (SELECT DISTINCT id FROM found)
SELECT
    (SELECT number FROM counted)::bigint AS checked, (SELECT count(*) FROM wrong) AS wrong,
    ARRAY(SELECT id::text FROM wrong ORDER BY id LIMIT 10) AS examples
