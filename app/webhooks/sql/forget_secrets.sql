-- Which secrets sign no more, and are dropped?
DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'
