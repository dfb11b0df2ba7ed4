-- What does this ended job say of its cost, locked until the transaction ends?
-- Never one that is still to end: whoever ends it holds it, and waits for the balance.
SELECT cost_micro, charged_micro, finished_at FROM jobs WHERE id = :job_id AND finished_at IS NOT NULL FOR UPDATE
