-- How is the pause lifted that the doubt itself has set?
DELETE FROM pauses WHERE reason = 'restored' AND paused_by = :paused_by
