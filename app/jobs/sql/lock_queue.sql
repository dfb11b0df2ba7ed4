-- Which other transactions change the counts of this queue?
-- They wait until this transaction ends.
SELECT FROM queues WHERE subject_id = :subject_id FOR UPDATE
