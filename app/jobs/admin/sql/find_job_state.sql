-- Which state has this job, whoever its tenant is?
SELECT state FROM jobs WHERE id = :job_id
