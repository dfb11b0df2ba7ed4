-- Which requests of the upstream are given away by nobody else until this transaction ends?
SELECT count(pg_advisory_xact_lock(hashtextextended('request ' || upstream_id, 0)))
FROM (SELECT DISTINCT upstream_id FROM unnest(:upstream_ids::text[]) AS asked (upstream_id) ORDER BY upstream_id) AS asked
