"""The ledger: the balances of tenants, and the transfers that explain every micro-credit of them.

credits: integer micro-credits. 1 credit = 1,000,000 micro-credits = 1 USD of the upstream's list price. hold: reserves the
highest cost of a job when it is accepted. post: charges at most the hold. release: returns the hold. This room knows a job
only by its id.
"""
