"""Tenants, their API keys, and the authentication of requests.

tenant: a team on whose behalf the gateway calls the upstream. api key: the secret that authenticates a tenant; only its hash
is stored, and the key is shown once. operator: a person who runs the gateway.
"""
