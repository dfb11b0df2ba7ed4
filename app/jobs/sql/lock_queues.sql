-- Which queues belong to a tenant and its keys?
-- They are locked until the transaction ends.
WITH patience AS MATERIALIZED ({{ patience }})
SELECT FROM queues WHERE tenant_id = :tenant_id AND (SELECT taken FROM patience)
ORDER BY subject_id FOR UPDATE
