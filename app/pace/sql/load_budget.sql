-- What is believed of the upstream's limit? Nobody else claims or learns until the transaction ends.
SELECT {{ budget_columns }}, date_part('epoch', clock_timestamp()) AS now
FROM upstream_state FOR UPDATE
