-- Which work is due now, and is any job unfinished?
-- Each query of jobs has the order of its partial index. Without it the planner scans all jobs and expects to find such a job
-- soon, but unfinished jobs come last there.
SELECT
    EXISTS (SELECT FROM queues WHERE runnable) OR EXISTS (SELECT FROM queues WHERE {{ key_has_room }}) AS queued_due,
    (SELECT true FROM jobs WHERE state = 'queued' AND NOT ready AND due_at <= now() ORDER BY due_at LIMIT 1) IS NOT NULL
        AS waiting_due,
    EXISTS (SELECT FROM queues WHERE claimed > 0) AS claimed,
    (
        SELECT true FROM jobs WHERE state = 'running' AND due_at <= now() AND (lease_until IS NULL OR lease_until < now())
        ORDER BY due_at LIMIT 1
    ) IS NOT NULL AS running_due,
    EXISTS (SELECT FROM pauses WHERE tenant_id IS NOT NULL OR model IS NOT NULL) AS paused,
    EXISTS (SELECT FROM pauses WHERE probe_at <= now() OR probe_job_id IS NOT NULL) AS probing,
    (SELECT true FROM jobs WHERE ready ORDER BY tenant_id, rank_at LIMIT 1) IS NOT NULL
        OR (SELECT true FROM jobs WHERE state = 'queued' AND NOT ready ORDER BY due_at LIMIT 1) IS NOT NULL
        OR (SELECT true FROM jobs WHERE state = 'running' ORDER BY due_at LIMIT 1) IS NOT NULL
        OR (SELECT true FROM jobs WHERE state = 'sending' ORDER BY sent_at LIMIT 1) IS NOT NULL
        OR (SELECT true FROM jobs WHERE state = 'unknown' ORDER BY due_at LIMIT 1) IS NOT NULL AS unfinished,
    {{ lots_due }} AS lots_due
