"""Claims: which jobs a worker takes, how it keeps them, and how it records what came of them.

claim: jobs taken by one guarded statement. lease: how long a claim is valid, by the clock of the database. fence: a number that rises
with each claim; a record with an older one is refused. suspect: a job whose owners have died while they held it.
"""
