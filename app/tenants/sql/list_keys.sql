-- Which keys are there, of one tenant or of all, in the order they were made, after this one?
SELECT {{ key_columns }} FROM api_keys
WHERE (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id) AND (:after::uuid IS NULL OR id > :after)
ORDER BY id LIMIT :limit
