-- How is a doubt stored?
-- `older` replaces any other doubt, and any doubt replaces `unvouched`.
UPDATE books SET
    doubt = CASE WHEN doubt IS NULL OR doubt = 'unvouched' OR :doubt = 'older' THEN :doubt ELSE doubt END,
    doubted_at = coalesce(doubted_at, now())
