-- Which secret is added for an owner, unless another one was added meanwhile?
INSERT INTO webhook_secrets (id, tenant_id, endpoint_id, sealed) VALUES (:secret_id, :tenant_id, :endpoint_id, :sealed)
ON CONFLICT DO NOTHING
