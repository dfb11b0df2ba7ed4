-- What is the rate estimate?
-- The lock keeps others from claiming and learning until the transaction ends.
SELECT {{ budget_columns }}, date_part('epoch', clock_timestamp()) AS now
FROM upstream_state FOR UPDATE
