-- A query that limits how long the transaction waits for each lock from now on. 0: no limit.
-- A CTE that locks rows must first read the one row of this query, so that the limit is set before it.
SELECT set_config('lock_timeout', (1000 * :lock_seconds::double precision)::integer || 'ms', true) IS NOT NULL AS taken
