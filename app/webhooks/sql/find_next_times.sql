-- In how many seconds is the next delivery due, and in how many does the next lease expire?
SELECT
    extract(epoch FROM (SELECT min(due_at) FROM webhook_deliveries WHERE status = 'pending') - now())::float8 AS due_seconds,
    extract(epoch FROM (SELECT min(lease_until) FROM webhook_deliveries WHERE status = 'sending') - now())::float8
        AS expires_seconds
