-- Which running jobs are due to be asked about, where not all can be in time: those whose results the upstream forgets next?
-- Only those that were submitted within :expires_seconds: it still has them.
WITH due AS (
    SELECT id FROM jobs AS job
    WHERE {{ due_reads }} AND {{ may_poll(job=job) }} AND {{ not_suspect }}
        AND submitted_at > now() - make_interval(secs => :expires_seconds)
    ORDER BY submitted_at LIMIT :jobs_max::bigint
    FOR UPDATE SKIP LOCKED
), {{ claimed_reads }}
