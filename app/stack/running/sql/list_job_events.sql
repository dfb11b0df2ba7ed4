-- What are the events of this job, one row each?
SELECT seq, to_char(at, 'HH24:MI:SS.MS') AS at, from_status, to_status, to_state, reason
FROM ops.job_events WHERE job_id = :job_id ORDER BY seq
