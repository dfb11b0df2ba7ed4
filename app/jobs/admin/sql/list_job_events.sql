-- What are the events of this job?
SELECT seq, at, from_state, to_state, reason FROM job_events WHERE job_id = :job_id ORDER BY seq
