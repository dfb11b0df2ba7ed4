-- Which jobs have an upstream id that another job has or was given, without a record of that?
WITH found AS (
    SELECT id FROM (SELECT min(id::text)::uuid AS id FROM jobs GROUP BY upstream_id HAVING count(upstream_id) > 1) AS twice
    UNION
    SELECT job.id FROM upstream_observations AS seen
    JOIN jobs AS job ON job.upstream_id = seen.upstream_id AND job.id <> seen.job_id
    WHERE NOT EXISTS (
        SELECT FROM upstream_exchanges AS exchange
        WHERE exchange.job_id = seen.job_id AND exchange.detail = 'upstream_id_taken'
    ) AND NOT (job.submitted_at > seen.at AND NOT EXISTS (
        -- told by the upstream itself, later than the other job
        SELECT FROM attempts WHERE attempts.job_id = job.id AND attempts.upstream_id = job.upstream_id AND resolution IS NOT NULL
    ))
), counted AS (
    SELECT count(upstream_id) AS number FROM jobs
), {{ proof_of_jobs }}
