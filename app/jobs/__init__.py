"""Jobs: what tenants request, and the engine that sends, polls and ends it.

job: one request with one final result; not a job of arq. task: one call by arq; it is short, carries only ids, and may run
twice or never. attempt: one numbered try to start a job at the upstream; a job has at most one live attempt. lease: how long a
claim is valid. fence: a number that rises with each claim; a record with an older number is refused. queue: the counts of the
jobs of a tenant, or of a key with its own limits. place: one of a limited number of jobs that may be queued or in flight.
transition: a change of a state.
"""
