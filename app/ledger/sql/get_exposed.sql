-- How much exposure does this job have?
-- Second starts are costs of their own.
SELECT coalesce(sum(amount), 0)::bigint FROM exposures WHERE job_id = :job_id AND reason <> 'second_start'
