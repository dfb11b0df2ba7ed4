-- Which tenant has this id?
SELECT {{ tenant_columns }} FROM tenants WHERE id = :tenant_id
