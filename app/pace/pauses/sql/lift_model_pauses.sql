-- Which pauses of this tenant's submits of the model, caused by the upstream, are lifted now?
DELETE FROM pauses WHERE probe_at IS NOT NULL AND model = :model AND (tenant_id IS NULL OR tenant_id = :tenant_id)
RETURNING tenant_id, extract(epoch FROM now() - since)::double precision AS seconds, refusals
