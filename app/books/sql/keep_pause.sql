-- How does a pause that an operator set stay when the doubt is over?
UPDATE pauses SET reason = NULL WHERE reason = 'restored'
