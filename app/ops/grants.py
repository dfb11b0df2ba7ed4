"""Invariants of the database itself: privileges, valid constraints, durable commits."""

from app.core.database.connections import SERVICE_ROLE
from app.core.database.db import READONLY_ROLE
from app.core.database.sql import SqlFolder
from app.ops.invariants import Counted, Invariant

APPEND_ONLY = (
    "job_events", "upstream_exchanges", "upstream_observations", "transfers", "allocations", "budget_alerts", "exposures",
    "audit", "credit_readings", "job_webhooks",
)  # fmt: skip
"""Tables to which the service may only add rows."""
MAY_DELETE = (
    "pauses", "processes", "budgets", "webhook_attempts", "webhook_secrets", "upstream_seconds", "forbidden_answers",
    "upstream_health", "upstream_balances",
)  # fmt: skip
"""The only tables whose rows the service may delete."""

_SQL = SqlFolder(__file__)

OF_DATABASE = (
    Invariant(
        "service",
        2,
        "of {checked} tables and views the service can only add to what must not change",
        _SQL.query("service", Counted),
        {"append_only": APPEND_ONLY, "may_delete": MAY_DELETE, "service_role": SERVICE_ROLE},
    ),
    Invariant(
        "readonly",
        8,
        "of {checked} tables and views the dashboards' role reads those of schema ops, and does nothing else",
        _SQL.query("readonly", Counted),
        {"readonly_role": READONLY_ROLE},
    ),
    Invariant(
        "roles",
        8,
        "{checked} roles of ours are nobody special",
        _SQL.query("roles", Counted),
        {"service_role": SERVICE_ROLE, "readonly_role": READONLY_ROLE},
    ),
    Invariant("constraints", 2, "{checked} constraints are in force", _SQL.query("constraints", Counted)),
    Invariant("durable", 1, "{checked} settings make a commit survive the machine", _SQL.query("durable", Counted)),
)
