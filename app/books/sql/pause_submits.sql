-- How are submits of everything paused while the books are doubted?
INSERT INTO pauses (what, paused_by, note, reason) VALUES ('submits', :paused_by, :note, 'restored')
ON CONFLICT ON CONSTRAINT pauses_scope_key DO UPDATE SET
    reason = 'restored', probe_at = NULL, probe_job_id = NULL, refusals = 0
