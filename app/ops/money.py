"""Invariants of credits. Each is one statement, as in `invariants`.

They read all transfers some five times, by hash, and all jobs twice. A million transfers take seconds.
"""

from app.core.database.sql import SqlFolder
from app.ledger.queries import FOLD_PART
from app.ops.invariants import Counted, Invariant

_SQL = SqlFolder(__file__)

OF_MONEY = (
    Invariant(
        "balances",
        3,
        "{checked} transfers add up to the balances, to the micro-credit",
        _SQL.query("balances", Counted, parts={"fold": FOLD_PART}),
    ),
    Invariant(
        "available",
        3,
        "{checked} balances are no further below nothing than they may be",
        _SQL.query("available", Counted),
    ),
    Invariant(
        "holds",
        3,
        "{checked} holds are resolved once where their job has ended, and not before",
        _SQL.query("holds", Counted),
    ),
    Invariant(
        "resolutions",
        3,
        "{checked} posts and releases are of their own job's hold, and no more than it",
        _SQL.query("resolutions", Counted),
    ),
    Invariant(
        "charges",
        4,
        "{checked} ended jobs were charged what was posted, and nothing where they FAILED",
        _SQL.query("charges", Counted),
    ),
    Invariant(
        "lots", 3, "{checked} lots of credit that expires have what is left of them", _SQL.query("lots", Counted)
    ),
    Invariant(
        "exposed",
        4,
        "{checked} exposures list every job that may have cost us what nobody pays",
        _SQL.query("exposed", Counted),
    ),
    Invariant(
        "usage",
        3,
        "{checked} hours of use add up to what was posted, less what was corrected",
        _SQL.query("usage", Counted),
    ),
)
