-- The new values of a delivery whose claim was not finished.
status = 'pending', due_at = now(), lease_until = NULL, owner = NULL, last_error = 'interrupted'
