"""Who may go next, and whether anyone may.

pause: no submits for a while, for a reason an operator can read; jobs wait, nothing is lost.
"""
