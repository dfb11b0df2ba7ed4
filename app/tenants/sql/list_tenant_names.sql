-- Which names do tenants have?
SELECT name FROM tenants ORDER BY name LIMIT :limit
