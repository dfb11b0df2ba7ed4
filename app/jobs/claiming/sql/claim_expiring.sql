-- Which due running jobs are polled first if not all can be in time: those whose results the upstream deletes next?
-- Only those that were submitted within :expires_seconds: the upstream still has them.
WITH due AS (
    SELECT id FROM jobs AS job
    WHERE {{ due_reads }} AND {{ may_poll(job=job) }} AND {{ not_suspect }}
        AND submitted_at > now() - make_interval(secs => :expires_seconds)
    ORDER BY submitted_at LIMIT :jobs_max::bigint
    FOR UPDATE SKIP LOCKED
), {{ claimed_reads }}
