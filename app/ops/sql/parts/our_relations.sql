-- A query for our tables and views.
-- Those of extensions are not ours: pg_stat_statements shows every role its own statements.
SELECT class.oid, space.nspname, class.relname, class.relkind
FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
WHERE space.nspname IN ('public', 'ops') AND class.relkind IN ('r', 'p', 'v', 'm')
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = class.oid AND deptype = 'e'
    )
