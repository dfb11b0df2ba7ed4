-- Of which running jobs are the claims released, the highest id first?
-- The jobs continue. Fences rise by a large step: an owner from the lost time has a fence that may be given out again. The
-- counts of queues do not depend on owners of running jobs, so they do not change.
WITH due AS (
    SELECT id FROM jobs WHERE state = 'running' AND created_at < :before AND id > :after ORDER BY id LIMIT :jobs_max FOR UPDATE
), freed AS (
    UPDATE jobs SET fence = fence + :fence_step, lease_until = NULL, owner = NULL, takeovers = 0
    WHERE id = ANY (ARRAY(SELECT id FROM due)) AND state = 'running'
    RETURNING id
)
SELECT id FROM freed ORDER BY id DESC
