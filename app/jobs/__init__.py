"""What tenants ask for, and the engine that gets it done.

job: one request, one final result; never arq's unit. task: one arq call, short, carries ids only, may run twice or
never. attempt: one numbered try at getting a job started upstream, at most one live per job. lease: until when a claim
is believed; fence: the number that makes a late writer lose. queue: what a tenant, or a key with limits of its own, has waiting
and under way, as counts. place: a job in flight, or in a queue, of which there are so many. transition: what becomes of a job.
"""
