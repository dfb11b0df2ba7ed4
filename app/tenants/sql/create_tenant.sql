-- Which tenant is created?
-- No row if another tenant has the name.
INSERT INTO tenants (id, name) VALUES (:tenant_id, :name) ON CONFLICT (name) DO NOTHING
RETURNING {{ tenant_columns }}
