-- Who did what to which target, and what was requested?
INSERT INTO audit (operator, action, target, tenant_id, detail) VALUES (:operator, :action, :target, :tenant_id, :detail)
