-- The end of a statement that makes the deliveries of the CTE left_behind due again: records their attempts as interrupted.
INSERT INTO webhook_attempts (delivery_id, attempt, outcome)
SELECT id, attempts, 'interrupted' FROM left_behind ON CONFLICT DO NOTHING
