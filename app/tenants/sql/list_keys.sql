-- Which keys of one tenant or of all come after this one, in the order of their creation?
SELECT {{ key_columns }} FROM api_keys
WHERE (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id) AND (:after::uuid IS NULL OR id > :after)
ORDER BY id LIMIT :limit
