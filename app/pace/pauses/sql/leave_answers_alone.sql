-- Which 403s of other tenants say nothing more about this model, because it accepted this tenant's submit?
UPDATE forbidden_answers SET alone = true WHERE model = :model AND tenant_id <> :tenant_id AND NOT alone
