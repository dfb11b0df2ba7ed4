-- Whether a running job is no suspect, or is the one suspect that :owner may claim now.
(takeovers = 0 OR id = (
    SELECT suspect.id FROM jobs AS suspect
    WHERE suspect.takeovers > 0 AND suspect.state = 'running' AND suspect.due_at <= now()
        AND (suspect.lease_until IS NULL OR suspect.lease_until < now())
        AND (suspect.lease_until IS NULL OR suspect.takeovers < 2 OR {{ owner_is_alive(job=suspect) }})
        AND {{ worker_holds_no_suspect }}
    ORDER BY suspect.due_at LIMIT 1
))
