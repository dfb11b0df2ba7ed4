-- Why is sending stopped?
SELECT doubt FROM books WHERE EXISTS (SELECT FROM pauses WHERE reason = 'restored')
