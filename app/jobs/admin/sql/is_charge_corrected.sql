-- Was the charge of this job corrected before?
SELECT true FROM transfers WHERE job_id = :job_id AND kind = 'adjust'
