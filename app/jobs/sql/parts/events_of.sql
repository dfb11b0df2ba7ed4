-- A statement that writes an event for each job of the CTE {rows} whose revision has changed. {rows} also returns `event_reason`.
INSERT INTO job_events (job_id, seq, from_state, to_state, reason)
SELECT id, revision, was_state, state, event_reason FROM {rows} WHERE revision <> was_revision
