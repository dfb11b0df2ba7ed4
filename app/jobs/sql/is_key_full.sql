-- Has this key as many jobs in flight as it may itself?
SELECT in_flight + claimed >= max_in_flight FROM queues WHERE subject_id = :key_id AND subject_id <> tenant_id
