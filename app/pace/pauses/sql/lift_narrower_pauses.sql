-- Which pauses of this model for one tenant are lifted, now that it is paused for everybody?
DELETE FROM pauses WHERE model = :model AND tenant_id IS NOT NULL AND probe_at IS NOT NULL
