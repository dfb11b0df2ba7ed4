-- Which tenant has this name?
SELECT {{ tenant_columns }} FROM tenants WHERE name = :name
