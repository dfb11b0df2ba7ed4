-- How many jobs are queued in these queues, and how many may be?
SELECT subject_id, tenant_id, queued, max_queued FROM queues WHERE subject_id = ANY (:subject_ids::uuid[])
