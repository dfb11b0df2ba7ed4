-- Where a page begins: below the cursor :after, or before :created_before, whichever comes first. One bound is enough for an index
-- scan to begin there: where `created_before` comes first, no id is below its own.
bound AS MATERIALIZED (
    SELECT least(cursor.at, coalesce(:created_before, 'infinity'::timestamptz)) AS at,
        CASE WHEN cursor.at < coalesce(:created_before, 'infinity'::timestamptz) THEN :after
            ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS id
    FROM (SELECT coalesce((SELECT created_at FROM jobs WHERE id = :after AND tenant_id = :tenant_id), 'infinity') AS at) AS cursor
)
