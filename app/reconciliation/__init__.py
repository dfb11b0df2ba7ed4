"""Our books against themselves and against the upstream's, daily and on demand; what differs becomes a row.

reconciliation: one such comparison, over one window of time. discrepancy: something that we and the upstream, or two of
our own tables, tell differently; equal ones are one row, settled once it is told alike. reading: what was left of the
company's credits at an instant.
"""
