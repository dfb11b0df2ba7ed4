-- Which secret is inserted for an owner, unless another transaction has inserted one?
INSERT INTO webhook_secrets (id, tenant_id, endpoint_id, sealed) VALUES (:secret_id, :tenant_id, :endpoint_id, :sealed)
ON CONFLICT DO NOTHING
