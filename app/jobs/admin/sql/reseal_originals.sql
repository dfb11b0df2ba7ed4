-- How are these originals stored, encrypted with another key?
UPDATE job_results AS result SET original = asked.original
FROM unnest(:job_id::uuid[], :original::bytea[]) AS asked (job_id, original) WHERE result.job_id = asked.job_id
