"""Calls the upstream's v2 API, and returns the results as values. It has no tables and no session.

exchange: one HTTP call to the upstream: submit, poll, fetch, history
outcome: the result of an exchange: accepted, running, succeeded, failed, rejected (the job is refused), throttled
    (not now), account (our key, credits or spend cap: not caused by the tenant), not_sent (certainly never arrived),
    unknown (a submit that may have arrived), gone (404 or 410), unreadable (a complete answer that we cannot read),
    trouble (a poll or fetch that showed nothing)
poll: asks for the job's state, never for its output. fetch: reads the final body, kept byte for byte

wire: reads and rewrites the upstream's JSON. classify: turns an exchange into its outcome. client: makes the exchanges
"""
