-- Which tenants are there, in the order they were made, after this one?
SELECT {{ tenant_columns }} FROM tenants WHERE :after::uuid IS NULL OR id > :after ORDER BY id LIMIT :limit
