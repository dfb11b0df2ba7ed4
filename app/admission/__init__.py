"""Who may go next, and whether anyone may.

rate: how often somebody may submit, for good and at once. bucket: the meter of one rate. share: what one process lets
through by itself while Redis is away.

pause: no submits for a while, for a reason an operator can read; jobs wait, nothing is lost.
"""
