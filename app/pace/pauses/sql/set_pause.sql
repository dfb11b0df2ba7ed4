-- Which pause does this scope have now?
INSERT INTO pauses (tenant_id, model, what, paused_by, note) VALUES (:tenant_id, :model, :what, :paused_by, :note)
-- The last setting of a scope wins, and its first instant is kept. An operator's pause replaces one by the upstream.
ON CONFLICT ON CONSTRAINT pauses_scope_key DO UPDATE SET
    what = excluded.what, paused_by = excluded.paused_by, note = excluded.note, probe_at = NULL, probe_job_id = NULL,
    refusals = 0
RETURNING {{ pause_columns }}
