-- Who may change the webhooks of this tenant? Only this transaction, until it ends.
SELECT FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE
