-- The end of a query for candidates: the newest first, no more than are looked at for one page.
ORDER BY created_at DESC, id DESC LIMIT :scan_max
