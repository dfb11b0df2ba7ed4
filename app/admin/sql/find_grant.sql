-- Has the tenant a grant of this reference, and when does it expire?
SELECT expires_at FROM transfers WHERE tenant_id = :tenant_id AND reference = :reference
