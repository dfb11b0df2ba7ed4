"""The v2 API behind us: calls to it, and what they told us as values. No tables, no database session.

exchange: one HTTP call to the upstream: submit, poll, fetch, history
outcome: what an exchange told us: accepted, running, succeeded, failed, rejected (a definite no to the job), throttled
    (not now), account (our key, credits or spend cap: not the tenant's doing), not_sent (provably never arrived),
    unknown (a submit that may have arrived), gone (404), trouble (a poll or fetch that told us nothing)
poll: the job's state, never its output. fetch: the final body, kept byte for byte

wire: their JSON, and ours out of it. classify: from an exchange to its outcome, pure. client: the exchanges themselves
"""
