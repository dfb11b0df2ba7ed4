"""Invariants of queues and their counts."""

from app.core.database.sql import SqlFolder
from app.ops.invariants import Counted, Invariant

_SQL = SqlFolder(__file__)

OF_QUEUES = (
    Invariant(
        "counts", 10, "{checked} queues count the jobs that wait and are under way", _SQL.query("queue_counts", Counted)
    ),
    Invariant(
        "limits",
        10,
        "{checked} queues have the limits and weights that are configured",
        _SQL.query("queue_limits", Counted),
    ),
    Invariant("line", 10, "{checked} jobs wait in line or for their time", _SQL.query("queue_line", Counted)),
)
