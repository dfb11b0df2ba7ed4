"""Tools for operators: `verify` proves the invariants on live data, `doctor` checks the configuration.

invariant: a statement that is true of the rows at every instant, also while the system runs.
"""
