-- How are submits of everything paused while the database is in doubt?
INSERT INTO pauses (what, paused_by, note, reason) VALUES ('submits', :paused_by, :note, 'restored')
ON CONFLICT ON CONSTRAINT pauses_scope_key DO UPDATE SET
    reason = 'restored', probe_at = NULL, probe_job_id = NULL, refusals = 0
