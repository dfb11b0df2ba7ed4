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
    "upstream_health", "upstream_balances", "late_requests",
)  # fmt: skip
"""The only tables whose rows the service may delete."""

_SQL = SqlFolder(__file__)

OF_DATABASE = (
    Invariant(
        "service",
        2,
        "{checked} tables and views: the service role cannot change rows that must not change",
        _SQL.query("service", Counted),
        {"append_only": APPEND_ONLY, "may_delete": MAY_DELETE, "service_role": SERVICE_ROLE},
    ),
    Invariant(
        "readonly",
        8,
        "{checked} tables and views: the dashboards' role can only read those of schema ops",
        _SQL.query("readonly", Counted),
        {"readonly_role": READONLY_ROLE},
    ),
    Invariant(
        "roles",
        8,
        "{checked} roles of the gateway have no special privileges",
        _SQL.query("roles", Counted),
        {"service_role": SERVICE_ROLE, "readonly_role": READONLY_ROLE},
    ),
    Invariant("constraints", 2, "{checked} constraints are valid", _SQL.query("constraints", Counted)),
    Invariant(
        "durable", 1, "{checked} settings keep a commit through a crash of the machine", _SQL.query("durable", Counted)
    ),
)
