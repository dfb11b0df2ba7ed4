-- Which pause of this model does the upstream cause now?
-- None if there is one already.
INSERT INTO pauses (tenant_id, model, what, paused_by, note, probe_at)
SELECT :tenant_id, :model, :what, :paused_by, :note, now() + make_interval(secs => :probe_seconds)
-- While a model is paused for everybody, it gets no pause for one tenant: no job would be left to find out whether
-- either is over.
WHERE NOT EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model = :model)
ON CONFLICT ON CONSTRAINT pauses_scope_key DO NOTHING
RETURNING id
