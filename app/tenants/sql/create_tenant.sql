-- Which tenant is made? None where the name is another's.
INSERT INTO tenants (id, name) VALUES (:tenant_id, :name) ON CONFLICT (name) DO NOTHING
RETURNING {{ tenant_columns }}
