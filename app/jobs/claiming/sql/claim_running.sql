-- Which running jobs are due to be asked about, at most :jobs_max of them, the longest overdue first?
-- ANY (ARRAY(…)) and LATERAL … LIMIT stand where a join would do: of a LIMIT that is a parameter the planner expects a tenth of all
-- rows, and reads the whole table to join them.
WITH due AS (
    SELECT id FROM jobs AS job
    WHERE {{ due_reads }} AND {{ may_poll(job=job) }} AND {{ not_suspect }}
    ORDER BY due_at LIMIT :jobs_max::bigint
    FOR UPDATE SKIP LOCKED
), {{ claimed_reads }}
