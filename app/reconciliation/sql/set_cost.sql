-- Which cost and charge does this job have, now that the history has its cost?
UPDATE jobs SET cost_micro = :cost_micro, charged_micro = :charged_micro WHERE id = :job_id
