-- Does this key have as many jobs in flight as its own limit allows?
SELECT in_flight + claimed >= max_in_flight FROM queues WHERE subject_id = :key_id AND subject_id <> tenant_id
