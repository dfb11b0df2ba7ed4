-- What is the state of this job of any tenant?
SELECT state FROM jobs WHERE id = :job_id
