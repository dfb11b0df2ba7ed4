-- The bound at which a page begins: the cursor :after or :created_before, whichever is earlier. It is one bound so that an
-- index scan can begin there. If :created_before is earlier, the bound has the lowest id, so no job of that instant is in the
-- page.
bound AS MATERIALIZED (
    SELECT least(cursor.at, coalesce(:created_before, 'infinity'::timestamptz)) AS at,
        CASE WHEN cursor.at < coalesce(:created_before, 'infinity'::timestamptz) THEN :after
            ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS id
    FROM (SELECT coalesce((SELECT created_at FROM jobs WHERE id = :after AND tenant_id = :tenant_id), 'infinity') AS at) AS cursor
)
