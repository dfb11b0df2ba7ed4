-- What are tenants called?
SELECT name FROM tenants ORDER BY name LIMIT :limit
