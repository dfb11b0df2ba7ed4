-- Which of these models are paused for this tenant, and did the upstream alone cause it?
SELECT DISTINCT ON (model) model, probe_at IS NOT NULL AS by_upstream FROM pauses
WHERE model = ANY (:models::text[]) AND (tenant_id IS NULL OR tenant_id = :tenant_id)
-- a pause that an operator must lift comes first
ORDER BY model, probe_at NULLS FIRST
