-- Which deliveries will not be attempted again, although they are neither delivered nor exhausted?
-- If there are any, no worker sweeps.
WITH found AS (
    SELECT id FROM webhook_deliveries
    WHERE (status = 'pending') <> (due_at IS NOT NULL)
        OR (status = 'sending' AND lease_until < coalesce(:at::timestamptz, now()) - make_interval(secs => :late_seconds))
        OR (status = 'delivered' AND delivered_at IS NULL)
        OR (status = 'exhausted' AND last_error IS NULL)
), counted AS (
    SELECT count(*) AS number FROM webhook_deliveries
), {{ proof }}
