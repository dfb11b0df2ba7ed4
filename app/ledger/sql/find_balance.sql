-- What does a tenant's balance say?
SELECT granted, held, posted, granted - posted - held AS available, overdraft FROM balances WHERE tenant_id = :tenant_id
