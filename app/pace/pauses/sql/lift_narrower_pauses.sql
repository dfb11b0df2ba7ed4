-- Which pauses of this model for one tenant are lifted, because it is now paused for everybody?
DELETE FROM pauses WHERE model = :model AND tenant_id IS NOT NULL AND probe_at IS NOT NULL
