-- How are lots emptied whose time is over?
UPDATE lots SET left_micro = 0, expired_at = now() WHERE id = ANY(:lot_ids::uuid[])
