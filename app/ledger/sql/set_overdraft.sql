-- How far below zero may a balance go?
UPDATE balances SET overdraft = :overdraft WHERE tenant_id = :tenant_id
