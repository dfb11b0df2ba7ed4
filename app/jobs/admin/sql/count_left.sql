-- How many jobs still wait to be sent, and of how many can nobody say whether they were?
SELECT
    count(*) FILTER (WHERE state = 'queued') AS queued,
    count(*) FILTER (WHERE state = 'unknown') AS unknown
FROM jobs WHERE state IN ('queued', 'unknown')
