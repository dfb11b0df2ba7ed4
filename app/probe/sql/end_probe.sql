-- How did this probe end?
UPDATE probes SET outcome = :outcome, ended_at = now(), cost_micro = coalesce(:cost_micro, cost_micro), note = :note
WHERE id = :probe_id AND outcome = 'unknown'
