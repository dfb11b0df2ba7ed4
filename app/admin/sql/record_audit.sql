-- Who did what, to whom, and what was asked?
INSERT INTO audit (operator, action, target, tenant_id, detail) VALUES (:operator, :action, :target, :tenant_id, :detail)
