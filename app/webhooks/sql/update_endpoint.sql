-- Which values of this endpoint of a tenant change?
-- Null keeps the present value.
UPDATE webhook_endpoints SET
    url = coalesce(:url, url), events = coalesce(:events::text[], events), description = coalesce(:description, description)
WHERE id = :endpoint_id AND tenant_id = :tenant_id AND deleted_at IS NULL
