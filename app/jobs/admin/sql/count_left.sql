-- How many jobs are queued, and how many are unknown?
SELECT
    count(*) FILTER (WHERE state = 'queued') AS queued,
    count(*) FILTER (WHERE state = 'unknown') AS unknown
FROM jobs WHERE state IN ('queued', 'unknown')
