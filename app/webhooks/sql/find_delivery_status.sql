-- May this delivery of a tenant be delivered again?
SELECT delivery.status, target.disabled_at IS NOT NULL AS disabled
FROM webhook_deliveries AS delivery JOIN webhook_targets AS target ON target.id = delivery.target_id
WHERE delivery.id = :delivery_id AND delivery.tenant_id = :tenant_id
