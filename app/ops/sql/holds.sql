-- Which jobs have another hold than their row says, or one resolved before their end, or open after it?
WITH found AS (
    SELECT coalesce(job.id, held.job_id) AS id
    FROM jobs AS job
    FULL JOIN (SELECT job_id, tenant_id, id, amount FROM transfers WHERE kind = 'hold') AS held ON held.job_id = job.id
    LEFT JOIN transfers AS resolution ON resolution.hold_id = held.id AND resolution.kind IN ('post', 'release')
    WHERE job.id IS NULL
        OR coalesce(held.amount, 0) <> job.held_micro
        OR held.tenant_id <> job.tenant_id
        OR (held.id IS NOT NULL AND (resolution.id IS NOT NULL) <> (job.finished_at IS NOT NULL))
), counted AS (
    SELECT count(*) AS number FROM transfers WHERE kind = 'hold'
), {{ proof_of_jobs }}
