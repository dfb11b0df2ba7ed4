"""Webhooks: reliable delivery of events to the services of tenants. This room knows a job only by its id.

event: something that happened to a job or a tenant, numbered per tenant in commit order. Its body is frozen as bytes before
anyone can read it. endpoint: a URL of a tenant with the event types that it receives. target: where deliveries go, with its
health: an endpoint, or the server of a job's own webhook URL. delivery: one event for one target; pending until it is
delivered or exhausted. attempt: one POST of a delivery.
"""
