-- What are the limits of a tenant and of one of its keys, and how many of their places are taken?
SELECT
    tenant.rate_per_minute, tenant.burst, tenant.refused_per_minute, tenant.max_in_flight, tenant.max_queued, tenant.weight,
    tenant.max_price_micro, tenant.models, place.in_flight, place.queued,
    key.rate_per_minute AS key_rate_per_minute, key.burst AS key_burst,
    key.max_in_flight AS key_max_in_flight, key.max_queued AS key_max_queued,
    own.in_flight AS key_in_flight, own.queued AS key_queued
FROM tenants AS tenant
JOIN api_keys AS key ON key.tenant_id = tenant.id
JOIN queues AS place ON place.subject_id = tenant.id
LEFT JOIN queues AS own ON own.subject_id = key.id
WHERE tenant.id = :tenant_id AND key.id = :key_id
