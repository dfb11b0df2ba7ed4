"""Telling tenants' services what happened, so that it can be relied upon. Jobs are opaque references here.

event: something that happened to a job or to a tenant, numbered per tenant in the order of its commit; its body is frozen
as bytes before anybody is shown it. endpoint: a tenant's URL and the types of events it wants. target: whom deliveries
are sent to one after the other, and what is known of its health: an endpoint, or a server that URLs of single jobs name.
delivery: one event owed to one target; pending until it is delivered, or exhausted. attempt: one POST of it.
"""
