-- Who else changes the counts of this queue? They wait until the transaction ends.
SELECT FROM queues WHERE subject_id = :subject_id FOR UPDATE
