-- Which secrets expire now because their endpoint is deleted?
UPDATE webhook_secrets SET expires_at = now() WHERE endpoint_id = :endpoint_id
