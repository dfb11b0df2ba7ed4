"""Whom we act for.

tenant: the team on whose behalf we call the upstream. api key: the secret that speaks for one tenant, hashed, shown
once. operator: a person of ours.
"""
