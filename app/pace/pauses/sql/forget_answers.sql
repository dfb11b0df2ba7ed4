-- Which 403s for this model are deleted now, of one tenant or of all?
DELETE FROM forbidden_answers WHERE model = :model AND (:tenant_id::uuid IS NULL OR tenant_id = :tenant_id)
