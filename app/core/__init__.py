"""What every room needs and no business rule: settings, database, Redis, errors, logs, clock, ids.

ring: tell somebody there may be work (may be lost). sweep: the periodic look that finds what a lost ring left behind.
claim: take rows for work in one guarded statement. record: write down what came of it, guarded by the fence.
"""
