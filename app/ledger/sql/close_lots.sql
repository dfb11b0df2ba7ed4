-- Which expired lots are closed?
UPDATE lots SET left_micro = 0, expired_at = now() WHERE id = ANY(:lot_ids::uuid[])
