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
        "{checked} transfers add up exactly to the balances",
        _SQL.query("balances", Counted, parts={"fold": FOLD_PART}),
    ),
    Invariant(
        "available",
        3,
        "{checked} balances are not below zero by more than their overdraft",
        _SQL.query("available", Counted),
    ),
    Invariant(
        "holds",
        3,
        "{checked} holds are resolved once, when their job has ended, and not before",
        _SQL.query("holds", Counted),
    ),
    Invariant(
        "resolutions",
        3,
        "{checked} posts and releases belong to the hold of their job and do not exceed it",
        _SQL.query("resolutions", Counted),
    ),
    Invariant(
        "charges",
        4,
        "{checked} ended jobs were charged the posted amount, and nothing if they FAILED",
        _SQL.query("charges", Counted),
    ),
    Invariant("lots", 3, "{checked} lots have the amount that is left of them", _SQL.query("lots", Counted)),
    Invariant(
        "exposed",
        4,
        "{checked} exposures list every job that may have cost credits that no tenant pays",
        _SQL.query("exposed", Counted),
    ),
    Invariant(
        "usage",
        3,
        "{checked} hours of usage add up to the posts less the corrections",
        _SQL.query("usage", Counted),
    ),
)
