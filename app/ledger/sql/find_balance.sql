-- What is a tenant's balance?
SELECT granted, held, posted, granted - posted - held AS available, overdraft FROM balances WHERE tenant_id = :tenant_id
