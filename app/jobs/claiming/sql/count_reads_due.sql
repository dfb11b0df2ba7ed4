-- How many running jobs are due for a poll, counted up to :reads_max?
SELECT count(*) FROM (
    SELECT FROM jobs
    WHERE state = 'running' AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
        AND NOT EXISTS (SELECT FROM pauses WHERE what = 'all')
        AND (takeovers = 0 OR :with_suspects)
    LIMIT :reads_max
) AS several
