-- Which settings or unlogged tables could lose an answered submit if the machine fails?
-- The service's connections have the same settings.
WITH found AS (
    SELECT name || ' = ' || setting AS id FROM pg_settings
    WHERE (name IN ('fsync', 'full_page_writes') AND setting <> 'on')
        OR (name = 'synchronous_commit' AND setting = 'off')
    UNION ALL
    SELECT 'unlogged ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relpersistence <> 'p'
), counted AS (
    SELECT count(*) AS number FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')
), {{ proof }}
