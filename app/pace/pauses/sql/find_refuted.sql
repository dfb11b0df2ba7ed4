-- Which of these acceptances contradict a 403 that counts for their tenant, or a pause that the upstream caused?
SELECT accepted.model, accepted.tenant_id
FROM unnest(:model::text[], :tenant_id::uuid[]) AS accepted (model, tenant_id)
WHERE EXISTS (
    SELECT FROM forbidden_answers AS told
    WHERE told.model = accepted.model AND (told.tenant_id = accepted.tenant_id OR NOT told.alone)
) OR EXISTS (
    SELECT FROM pauses AS pause
    WHERE pause.probe_at IS NOT NULL AND pause.model = accepted.model
        AND (pause.tenant_id IS NULL OR pause.tenant_id = accepted.tenant_id)
)
