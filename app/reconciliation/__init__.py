"""Reconciliation, daily and on demand: compare our tables with each other and with the upstream's history.

reconciliation: one comparison of one time window. discrepancy: a difference between us and the upstream, or between two of our
tables. Equal discrepancies are one row, settled when the difference is gone. reading: the company's credits at the upstream at
one instant.
"""
