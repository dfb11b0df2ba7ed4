"""Invariants of webhooks."""

from app.core.database.sql import SqlFolder
from app.ops.invariants import Counted, Invariant

_SQL = SqlFolder(__file__)

OF_WEBHOOKS = (
    Invariant("events", 7, "{checked} ended jobs have the event of their end", _SQL.query("events", Counted)),
    Invariant("feeds", 7, "{checked} events are numbered without a gap", _SQL.query("feeds", Counted)),
    Invariant(
        "owed",
        7,
        "{checked} jobs with a webhook URL have the deliveries that it asked for",
        _SQL.query("owed", Counted),
    ),
    Invariant(
        "belong",
        8,
        "{checked} deliveries have an event and a target of the same tenant",
        _SQL.query("belong", Counted),
    ),
    Invariant("frozen", 7, "{checked} deliveries have the bytes of their first attempt", _SQL.query("frozen", Counted)),
    Invariant(
        "tried",
        7,
        "{checked} deliveries are delivered, exhausted, or due again",
        _SQL.query("tried", Counted),
    ),
    Invariant(
        "delivered", 7, "{checked} delivered deliveries were answered with 2xx", _SQL.query("delivered", Counted)
    ),
)
