"""What must be true of the database itself: who may do what, that constraints are in force, that commits are durable."""

from app.core.sql import SqlFolder
from app.ops.invariants import Counted, Invariant

_SQL = SqlFolder(__file__)

OF_DATABASE = (
    Invariant(
        "service",
        2,
        "of {checked} tables and views the service can only add to what must not change",
        _SQL.query("service", Counted),
    ),
    Invariant(
        "readonly",
        8,
        "of {checked} tables and views the dashboards' role reads those of schema ops, and does nothing else",
        _SQL.query("readonly", Counted),
    ),
    Invariant("roles", 8, "{checked} roles of ours are nobody special", _SQL.query("roles", Counted)),
    Invariant("constraints", 2, "{checked} constraints are in force", _SQL.query("constraints", Counted)),
    Invariant("durable", 1, "{checked} settings make a commit survive the machine", _SQL.query("durable", Counted)),
)
