-- Which id does this database have, now complete on the present server, unless it is in doubt?
UPDATE books SET books_id = coalesce(books_id, :books_id), server = {{ server }}
WHERE doubt IS NULL
RETURNING books_id
