-- Which tenant is locked, so that only this transaction may change its webhooks?
SELECT FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE
