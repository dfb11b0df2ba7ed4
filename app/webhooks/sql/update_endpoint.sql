-- What is new in this endpoint of a tenant? A null keeps what it has.
UPDATE webhook_endpoints SET
    url = coalesce(:url, url), events = coalesce(:events::text[], events), description = coalesce(:description, description)
WHERE id = :endpoint_id AND tenant_id = :tenant_id AND deleted_at IS NULL
