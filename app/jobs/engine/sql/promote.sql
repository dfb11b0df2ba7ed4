-- Which queued jobs become ready because they are due?
WITH due AS (
    SELECT job.id, {{ was }} FROM jobs AS job WHERE job.state = 'queued' AND NOT job.ready AND job.due_at <= now()
    ORDER BY job.due_at LIMIT :jobs_max FOR UPDATE OF job SKIP LOCKED
), moved AS (
    UPDATE jobs SET ready = true FROM due AS before WHERE jobs.id = before.id
    RETURNING {{ moved_columns }}
), changes AS ({{ changes_of(rows=moved) }}), {{ counted }}
SELECT count(*) FROM moved
