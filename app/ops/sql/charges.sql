-- Which jobs have a charge that differs from their transfers, or a charge before their end or for a failure?
WITH found AS (
    SELECT coalesce(job.id, paid.job_id) AS id
    FROM jobs AS job
    FULL JOIN (
        SELECT job_id, sum(CASE kind WHEN 'post' THEN amount ELSE -amount END) AS amount
        FROM transfers WHERE kind IN ('post', 'adjust') AND job_id IS NOT NULL GROUP BY job_id
    ) AS paid ON paid.job_id = job.id
    WHERE coalesce(paid.amount, 0) <> coalesce(job.charged_micro, 0)
        OR (job.charged_micro > 0 AND (job.state = 'failed' OR job.finished_at IS NULL))
), counted AS (
    SELECT count(*) AS number FROM jobs WHERE finished_at IS NOT NULL
), {{ proof_of_jobs }}
