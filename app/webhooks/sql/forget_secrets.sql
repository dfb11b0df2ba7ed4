-- Which secrets expired more than an hour ago, and are deleted?
DELETE FROM webhook_secrets WHERE expires_at < now() - interval '1 hour'
