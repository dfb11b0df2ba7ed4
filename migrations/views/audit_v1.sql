CREATE VIEW ops.audit AS
SELECT
    audit.id AS audit_id,
    audit.at,
    audit.operator,
    audit.action,
    audit.target,
    tenant.name AS tenant,
    audit.tenant_id,
    audit.detail
FROM audit
LEFT JOIN tenants AS tenant ON tenant.id = audit.tenant_id

COMMENT ON VIEW ops.audit IS 'Everything operators did.'

COMMENT ON COLUMN ops.audit.audit_id IS 'Its number.'

COMMENT ON COLUMN ops.audit.at IS 'When.'

COMMENT ON COLUMN ops.audit.operator IS 'Who: an operator''s name, `admin key`, or the command line.'

COMMENT ON COLUMN ops.audit.action IS 'What, as noun and verb: tenant.create, credits.grant, job.resolve.'

COMMENT ON COLUMN ops.audit.target IS 'Id or name of what was acted on.'

COMMENT ON COLUMN ops.audit.tenant IS 'Name of the tenant.'

COMMENT ON COLUMN ops.audit.tenant_id IS 'Id of the tenant.'

COMMENT ON COLUMN ops.audit.detail IS 'What was asked for; never a secret.'
