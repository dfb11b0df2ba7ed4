-- The new values of a delivery that was claimed and not finished.
status = 'pending', due_at = now(), lease_until = NULL, owner = NULL, last_error = 'interrupted'
