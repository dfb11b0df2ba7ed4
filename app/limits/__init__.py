"""Rate limits: how many requests a tenant, a key or an address may make.

rate: requests a minute, and at once (burst). bucket: the counter of one rate; it fills with each request and drains at a constant
rate. share: what one process allows by itself while Redis is unavailable.
"""
