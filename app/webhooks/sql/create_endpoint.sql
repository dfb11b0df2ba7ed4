-- How is an endpoint made, with its target?
WITH endpoint AS (
    INSERT INTO webhook_endpoints (id, tenant_id, url, events, description) VALUES (:id, :tenant_id, :url, :events, :description)
)
INSERT INTO webhook_targets (id, tenant_id, kind) VALUES (:id, :tenant_id, 'endpoint')
