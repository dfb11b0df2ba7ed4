-- Has the upstream caused a pause of this tenant's submits of the model?
SELECT EXISTS (
    SELECT FROM pauses WHERE probe_at IS NOT NULL AND model = :model AND (tenant_id IS NULL OR tenant_id = :tenant_id)
)
