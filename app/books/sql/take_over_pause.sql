-- How does the pause of a doubt become that of whoever recovers?
UPDATE pauses SET paused_by = :by WHERE reason = 'restored' AND paused_by = :paused_by
