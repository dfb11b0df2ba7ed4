"""Invariants of queues and their counts."""

from app.core.database.sql import SqlFolder
from app.ops.invariants import Counted, Invariant

_SQL = SqlFolder(__file__)

OF_QUEUES = (
    Invariant(
        "counts",
        10,
        "{checked} queues count their queued and in-flight jobs correctly",
        _SQL.query("queue_counts", Counted),
    ),
    Invariant(
        "limits",
        10,
        "{checked} queues have the configured limits and weights",
        _SQL.query("queue_limits", Counted),
    ),
    Invariant(
        "line", 10, "{checked} queued jobs are ready, or wait for a later time", _SQL.query("queue_line", Counted)
    ),
)
