-- Until when do the secrets of this owner sign, before a new one is inserted?
-- The newest one signs for :hours more. Older ones expire now.
UPDATE webhook_secrets SET
    expires_at = CASE WHEN expires_at IS NULL THEN now() + make_interval(hours => :hours) ELSE least(expires_at, now()) END
WHERE tenant_id = :tenant_id AND endpoint_id IS NOT DISTINCT FROM :endpoint_id
RETURNING expires_at
