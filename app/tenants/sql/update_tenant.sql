-- What is this tenant now, with these settings changed? Its queue is not touched.
UPDATE tenants SET
    {{ tenant_settings }}
WHERE id = :tenant_id
RETURNING {{ tenant_columns }}
