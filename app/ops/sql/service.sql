-- Which tables may the service change in a way that is not allowed?
WITH found AS (
    SELECT ours.nspname || '.' || ours.relname || ' ' || forbidden.privilege AS id
    FROM (
        {{ our_relations }}
    ) AS ours
    CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS forbidden (privilege)
    WHERE (
            forbidden.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
            OR ours.nspname = 'ops'
            OR ours.relname = 'alembic_version'
            OR (forbidden.privilege = 'DELETE' AND ours.relname <> ALL (:may_delete::text[]))
            OR (forbidden.privilege = 'UPDATE' AND ours.relname = ANY (:append_only::text[]))
        )
        AND CASE WHEN forbidden.privilege IN ('INSERT', 'UPDATE', 'REFERENCES')
            THEN has_any_column_privilege(:service_role::name, ours.oid, forbidden.privilege)
            ELSE has_table_privilege(:service_role::name, ours.oid, forbidden.privilege) END
    UNION ALL
    SELECT 'schema ' || nspname || ' CREATE' FROM pg_namespace
    WHERE nspname IN ('public', 'ops') AND has_schema_privilege(:service_role::name, oid, 'CREATE')
), counted AS (
    SELECT count(*) AS number FROM ({{ our_relations }}) AS ours
), {{ proof }}
