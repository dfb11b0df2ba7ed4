-- Which running jobs are taken out of every process's hands, the highest id first?
-- They go on. An owner of the lost time has a fence that may be given out again. A queue does not know who owns its running jobs:
-- nothing is counted.
WITH due AS (
    SELECT id FROM jobs WHERE state = 'running' AND created_at < :before AND id > :after ORDER BY id LIMIT :jobs_max FOR UPDATE
), freed AS (
    UPDATE jobs SET fence = fence + :fence_step, lease_until = NULL, owner = NULL, takeovers = 0
    WHERE id = ANY (ARRAY(SELECT id FROM due)) AND state = 'running'
    RETURNING id
)
SELECT id FROM freed ORDER BY id DESC
