-- The end of a statement that gives back deliveries, the CTE left_behind: it records that their attempts were interrupted.
INSERT INTO webhook_attempts (delivery_id, attempt, outcome)
SELECT id, attempts, 'interrupted' FROM left_behind ON CONFLICT DO NOTHING
