-- Which pause has exactly this scope?
SELECT {{ pause_columns }} FROM pauses
WHERE tenant_id IS NOT DISTINCT FROM :tenant_id AND model IS NOT DISTINCT FROM :model
