-- How is a new secret stored, unless somebody was quicker?
INSERT INTO webhook_secrets (id, tenant_id, endpoint_id, sealed) VALUES (:id, :tenant_id, :endpoint_id, :sealed)
ON CONFLICT DO NOTHING
