-- Is the job that gets the request locked before everything else?
SELECT FROM jobs WHERE id = :job_id FOR UPDATE
