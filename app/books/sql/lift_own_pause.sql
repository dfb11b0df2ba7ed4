-- How is the pause deleted that the doubt itself has set?
DELETE FROM pauses WHERE reason = 'restored' AND paused_by = :paused_by
