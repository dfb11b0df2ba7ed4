"""Rate limits: how many requests a tenant, a key or an address may make.

rate: requests a minute, and at once (burst). bucket: the counter of one rate limit. It fills with each request and
    drains at a constant rate. share: of one API process while Redis is unavailable: its part of each rate limit.
"""
