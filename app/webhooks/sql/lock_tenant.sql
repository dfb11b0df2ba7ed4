-- Who else changes the webhooks of this tenant? They wait until the transaction ends.
SELECT FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE
