-- How is a doubt written down? `older` replaces every other one, and any replaces `unvouched`.
UPDATE books SET
    doubt = CASE WHEN doubt IS NULL OR doubt = 'unvouched' OR :doubt = 'older' THEN :doubt ELSE doubt END,
    doubted_at = coalesce(doubted_at, now())
