"""Whose credits are whose: balances, and the transfers that explain every micro-credit of them.

credits: integer micro-units, 1 credit = 1,000,000 = 1 USD of the upstream's list price. hold: what a job may cost at
most, set apart when it is accepted. post: the charge, at most the hold. release: the hold given back. A job is an opaque
id in here.
"""
