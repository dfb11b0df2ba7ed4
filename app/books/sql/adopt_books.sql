-- Under which id are these books complete where they are, unless they are doubted?
UPDATE books SET books_id = coalesce(books_id, :books_id), server = {{ server }}
WHERE doubt IS NULL
RETURNING books_id
