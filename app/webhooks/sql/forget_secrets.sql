-- Which secrets sign nothing any more?
DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'
