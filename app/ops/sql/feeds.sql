-- Which tenants have events not numbered from 1 to the last of their feed?
WITH found AS (
    SELECT coalesce(feed.tenant_id, told.tenant_id) AS id
    FROM event_feeds AS feed
    FULL JOIN (
        SELECT tenant_id, count(*) AS number, min(position) AS first, max(position) AS last
        FROM webhook_events GROUP BY tenant_id
    ) AS told ON told.tenant_id = feed.tenant_id
    WHERE feed.tenant_id IS NULL OR told.tenant_id IS NULL
        OR told.first <> 1 OR told.last <> feed.last OR told.number <> feed.last
), counted AS (
    SELECT count(*) AS number FROM webhook_events
), {{ proof }}
