-- How does a pause that somebody else had set stay when the doubt is over?
UPDATE pauses SET reason = NULL WHERE reason = 'restored'
