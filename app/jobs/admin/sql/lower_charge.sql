-- What is left of a job's charge after it is lowered by :amount, unless it is less?
UPDATE jobs SET charged_micro = charged_micro - :amount WHERE id = :job_id AND charged_micro >= :amount
RETURNING key_id, model, finished_at, cost_micro, charged_micro
