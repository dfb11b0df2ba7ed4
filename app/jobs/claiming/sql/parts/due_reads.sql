-- Whether `job`, a row of jobs, is running, due for a poll and not claimed, while no pause stops all polls.
state = 'running'
    AND due_at BETWEEN now() - make_interval(secs => :overdue_seconds) AND now() + make_interval(secs => :lookahead_seconds)
    AND (lease_until IS NULL OR lease_until < now())
    AND NOT EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL AND what = 'all')
