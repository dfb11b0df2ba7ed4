-- How is the charge of a job lowered, unless it is less than that?
UPDATE jobs SET charged_micro = charged_micro - :amount WHERE id = :job_id AND charged_micro >= :amount
RETURNING key_id, model, finished_at, cost_micro, charged_micro
