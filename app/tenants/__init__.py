"""Tenants, their API keys, and the authentication of requests.

tenant: a team on whose behalf the gateway calls the upstream. api key: the secret that authenticates a tenant, shown once; its
hash is stored. operator: a person who runs the gateway.
"""
