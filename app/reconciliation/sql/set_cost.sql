-- Which job gets this cost, known only now?
UPDATE jobs SET cost_micro = :cost_micro, charged_micro = :charged_micro WHERE id = :job_id
