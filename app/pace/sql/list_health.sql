-- How many jobs of each tenant and model had an exchange lately, and how many of these failed?
SELECT
    tenant_id, model, count(*)::integer AS jobs, count(*) FILTER (WHERE failed)::integer AS failed,
    extract(epoch FROM max(at))::double precision AS at
FROM upstream_health WHERE at > to_timestamp(:since)
GROUP BY tenant_id, model
