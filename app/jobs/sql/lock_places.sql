-- How many jobs are queued in these queues, and how many may be?
-- They are locked until the transaction ends.
WITH patience AS MATERIALIZED ({{ patience }})
SELECT subject_id, tenant_id, queued, max_queued FROM queues
WHERE subject_id = ANY (:subject_ids::uuid[]) AND (SELECT taken FROM patience)
ORDER BY subject_id FOR UPDATE
