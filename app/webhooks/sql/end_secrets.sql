-- Which secrets end with their endpoint?
UPDATE webhook_secrets SET expires_at = now() WHERE endpoint_id = :endpoint_id
