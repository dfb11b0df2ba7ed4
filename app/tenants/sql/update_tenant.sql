-- What is this tenant after these settings changed, none of which its queue has?
UPDATE tenants SET
    {{ tenant_settings }}
WHERE id = :tenant_id
RETURNING {{ tenant_columns }}
