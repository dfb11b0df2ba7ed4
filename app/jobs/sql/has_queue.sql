-- Are the jobs of this tenant or key counted?
SELECT true FROM queues WHERE subject_id = :subject_id
