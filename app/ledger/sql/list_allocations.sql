-- Which lots did these holds draw on?
SELECT allocation.hold_id, lot.id AS lot_id, allocation.amount, lot.expired_at IS NOT NULL AS expired
FROM allocations AS allocation JOIN lots AS lot ON lot.id = allocation.lot_id
WHERE allocation.hold_id = ANY(:hold_ids::uuid[])
ORDER BY allocation.hold_id, lot.expires_at, lot.id
