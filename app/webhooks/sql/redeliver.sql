-- Is this delivery due again, from the first step of its schedule?
-- No row while an attempt of it is in progress.
UPDATE webhook_deliveries SET status = 'pending', due_at = now(), step = 0
WHERE id = :delivery_id AND tenant_id = :tenant_id AND status <> 'sending'
RETURNING id
