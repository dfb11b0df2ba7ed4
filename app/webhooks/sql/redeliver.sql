-- Is this delivery due again, since no attempt of it is under way?
UPDATE webhook_deliveries SET status = 'pending', due_at = now(), step = 0
WHERE id = :delivery_id AND tenant_id = :tenant_id AND status <> 'sending'
RETURNING id
