-- The end of a query for candidates: the newest first, at most as many as are examined for one page.
ORDER BY created_at DESC, id DESC LIMIT :scan_max
