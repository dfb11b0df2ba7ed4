-- Which endpoint does a tenant create?
-- Its target has the same id.
WITH endpoint AS (
    INSERT INTO webhook_endpoints (id, tenant_id, url, events, description)
    VALUES (:endpoint_id, :tenant_id, :url, :events, :description)
)
INSERT INTO webhook_targets (id, tenant_id, kind) VALUES (:endpoint_id, :tenant_id, 'endpoint')
