-- How does the pause of a doubt become one that the operator who recovers has set?
UPDATE pauses SET paused_by = :by WHERE reason = 'restored' AND paused_by = :paused_by
