-- A query that limits how long the transaction waits for each lock from here on; its one row says that it is so. 0: no limit.
-- Whoever locks must look at that row first.
SELECT set_config('lock_timeout', (1000 * :lock_seconds::double precision)::integer || 'ms', true) IS NOT NULL AS taken
