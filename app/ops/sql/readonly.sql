-- What may the dashboards' role do except read our views, and which views can it not read?
WITH found AS (
    SELECT ours.nspname || '.' || ours.relname || ' ' || privilege AS id
    FROM (
        {{ our_relations }}
    ) AS ours
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
    WHERE (ours.nspname = 'ops' AND privilege = 'SELECT') IS DISTINCT FROM (
        CASE WHEN privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
            THEN has_any_column_privilege(:readonly_role::name, ours.oid, privilege)
            ELSE has_table_privilege(:readonly_role::name, ours.oid, privilege) END
    )
    UNION ALL
    SELECT 'schema ' || space.nspname || ' ' || privilege
    FROM pg_namespace AS space CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) AS privilege
    WHERE space.nspname IN ('public', 'ops')
        AND (space.nspname = 'ops' AND privilege = 'USAGE')
            IS DISTINCT FROM has_schema_privilege(:readonly_role::name, space.oid, privilege)
), counted AS (
    SELECT count(*) AS number FROM ({{ our_relations }}) AS ours
), {{ proof }}
