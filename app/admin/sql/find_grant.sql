-- When does the tenant's grant with this reference expire, if there is one?
SELECT expires_at FROM transfers WHERE tenant_id = :tenant_id AND reference = :reference
