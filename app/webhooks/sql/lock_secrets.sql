-- Which secrets are stored, locked until the transaction ends?
SELECT id, sealed FROM webhook_secrets ORDER BY id FOR NO KEY UPDATE
