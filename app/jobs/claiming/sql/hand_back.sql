-- Which claims does this process release when it stops: queued jobs, and with :running_too running jobs?
WITH mine AS (
    SELECT id FROM ({{ claimed_jobs }}) AS claimed WHERE owner = :owner
    UNION ALL
    SELECT id FROM jobs WHERE state = 'running' AND owner = :owner AND :running_too
), held AS (
    SELECT job.id, {{ was }} FROM jobs AS job
    WHERE job.id = ANY (ARRAY(SELECT id FROM mine)) AND job.owner = :owner
        AND (job.state = 'queued' OR (job.state = 'running' AND :running_too))
    ORDER BY job.id
    FOR UPDATE OF job
), moved AS (
    UPDATE jobs SET lease_until = NULL, owner = NULL
    FROM held AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT
