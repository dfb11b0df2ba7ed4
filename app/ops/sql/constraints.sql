-- Which constraints or indexes exist, but are not valid?
WITH found AS (
    SELECT conrelid::regclass::text || '.' || conname AS id FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND NOT convalidated
    UNION ALL
    SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
    WHERE class.relnamespace = 'public'::regnamespace AND NOT (indisvalid AND indisready)
), counted AS (
    SELECT count(*) AS number FROM pg_constraint WHERE connamespace = 'public'::regnamespace
), {{ proof }}
