-- How are lots reduced to the available credits, when an amount is taken from the balance?
-- The amount comes first from credit that never expires, then from the lots, the last to expire first.
WITH free AS (
    SELECT id, left_micro, sum(left_micro) OVER (ORDER BY expires_at, id) AS up_to
    FROM lots WHERE tenant_id = :tenant_id AND left_micro > 0
)
UPDATE lots SET left_micro = greatest(0, least(lots.left_micro, :available - (free.up_to - free.left_micro)))
FROM free WHERE lots.id = free.id AND free.up_to > :available
