-- Which cost and charge has this ended job, locked until the transaction ends?
-- Only an ended job: a transaction that ends a job locks it and then waits for the balance, which would be a deadlock.
SELECT cost_micro, charged_micro, finished_at FROM jobs WHERE id = :job_id AND finished_at IS NOT NULL FOR UPDATE
