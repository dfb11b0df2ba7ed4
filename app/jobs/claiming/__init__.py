"""Claims: how a worker claims jobs, keeps its leases, and records the outcomes.

claim: jobs that one guarded statement has taken for work. lease: how long a claim is valid, by the clock of the database.
fence: a number that rises with each claim; a record with an older one is refused. suspect: a job whose owners have died while
they held it.
"""
