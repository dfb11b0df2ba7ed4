-- Which tenants come after this one, in the order of their creation?
SELECT {{ tenant_columns }} FROM tenants WHERE :after::uuid IS NULL OR id > :after ORDER BY id LIMIT :limit
