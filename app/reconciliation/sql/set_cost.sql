-- How does a job get a cost that was told late?
UPDATE jobs SET cost_micro = :cost_micro, charged_micro = :charged_micro WHERE id = :job_id
