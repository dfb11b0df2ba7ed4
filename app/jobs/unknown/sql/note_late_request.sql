-- What does an ended job show of a request that the history has shown only now?
-- Status and charge stay. The output can be read if there is one.
WITH results AS (
    UPDATE job_results SET body = :body WHERE job_id = :job_id AND :body::bytea IS NOT NULL
)
UPDATE jobs SET upstream_id = :upstream_id, cost_micro = :cost_micro, submitted_at = coalesce(submitted_at, sent_at),
    late_result = :body::bytea IS NOT NULL, recovered = :body::bytea IS NOT NULL
WHERE id = :job_id AND finished_at IS NOT NULL AND upstream_id IS NULL
