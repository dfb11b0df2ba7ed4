-- Which running jobs are due for a poll, at most :jobs_max of them, the longest overdue first?
-- ANY (ARRAY(…)) and LATERAL … LIMIT replace joins: for a LIMIT that is a parameter, the planner expects a tenth of all rows,
-- and would read the whole table to join them.
WITH due AS (
    SELECT id FROM jobs AS job
    WHERE {{ due_reads }} AND {{ may_poll(job=job) }} AND {{ not_suspect }}
    ORDER BY due_at LIMIT :jobs_max::bigint
    FOR UPDATE SKIP LOCKED
), {{ claimed_reads }}
