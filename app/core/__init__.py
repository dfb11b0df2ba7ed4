"""Code that every room uses, without business rules: settings, database, Redis, errors, logs, clock, ids.

notification (ring): says that there may be work; it may be lost. sweep: a periodic task that finds the work that a lost
notification or a dead process left. claim: take rows for work with one guarded statement. record: write the outcome of a claim.
"""
