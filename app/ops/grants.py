"""What must be true of the database itself: who may do what, that constraints are in force, that commits are durable."""

from app.core.connections import SERVICE_ROLE
from app.core.db import READONLY_ROLE
from app.ops.invariants import Invariant

APPEND_ONLY = (
    "job_events", "upstream_exchanges", "upstream_observations", "transfers", "allocations", "budget_alerts", "exposures",
    "audit", "credit_readings", "job_webhooks",
)  # fmt: skip
"""Of these the service may only add rows."""
MAY_DELETE = (
    "pauses", "processes", "budgets", "webhook_attempts", "webhook_secrets", "upstream_seconds", "forbidden_answers",
    "upstream_health", "upstream_balances",
)  # fmt: skip
"""Of these alone it may drop rows."""

_OURS = """
    SELECT class.oid, space.nspname, class.relname, class.relkind
    FROM pg_class AS class JOIN pg_namespace AS space ON space.oid = class.relnamespace
    WHERE space.nspname IN ('public', 'ops') AND class.relkind IN ('r', 'p', 'v', 'm')
        AND NOT EXISTS (  -- such as pg_stat_statements, which shows everybody their own statements
            SELECT FROM pg_depend
            WHERE classid = 'pg_class'::regclass AND objid = class.oid AND deptype = 'e'
        )
"""


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


# Which tables may the service change in a way that it must not?
_SERVICE = f"""
SELECT ours.nspname || '.' || ours.relname || ' ' || forbidden.privilege AS id
FROM ({_OURS}) AS ours
CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS forbidden (privilege)
WHERE (
        forbidden.privilege IN ('TRUNCATE', 'REFERENCES', 'TRIGGER')
        OR ours.nspname = 'ops'
        OR ours.relname = 'alembic_version'
        OR (forbidden.privilege = 'DELETE' AND ours.relname NOT IN ({_names(MAY_DELETE)}))
        OR (forbidden.privilege = 'UPDATE' AND ours.relname IN ({_names(APPEND_ONLY)}))
    )
    AND CASE WHEN forbidden.privilege IN ('INSERT', 'UPDATE', 'REFERENCES')
        THEN has_any_column_privilege('{SERVICE_ROLE}', ours.oid, forbidden.privilege)
        ELSE has_table_privilege('{SERVICE_ROLE}', ours.oid, forbidden.privilege) END
UNION ALL
SELECT 'schema ' || nspname || ' CREATE' FROM pg_namespace
WHERE nspname IN ('public', 'ops') AND has_schema_privilege('{SERVICE_ROLE}', oid, 'CREATE')
"""  # noqa: S608

# What may the dashboards' role see or do beyond reading the views? And what of them can it not read?
_READONLY = f"""
SELECT ours.nspname || '.' || ours.relname || ' ' || privilege AS id
FROM ({_OURS}) AS ours
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS privilege
WHERE (ours.nspname = 'ops' AND privilege = 'SELECT') IS DISTINCT FROM (
    CASE WHEN privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES')
        THEN has_any_column_privilege('{READONLY_ROLE}', ours.oid, privilege)
        ELSE has_table_privilege('{READONLY_ROLE}', ours.oid, privilege) END
)
UNION ALL
SELECT 'schema ' || space.nspname || ' ' || privilege
FROM pg_namespace AS space CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) AS privilege
WHERE space.nspname IN ('public', 'ops')
    AND (space.nspname = 'ops' AND privilege = 'USAGE')
        IS DISTINCT FROM has_schema_privilege('{READONLY_ROLE}', space.oid, privilege)
"""  # noqa: S608

# Which of our roles can do more than it was given, by being somebody special or somebody else, too?
_ROLES = f"""
SELECT rolname AS id FROM pg_roles
WHERE rolname IN ('{SERVICE_ROLE}', '{READONLY_ROLE}')
    AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls OR rolcanlogin)
UNION ALL
SELECT member.rolname || ' is ' || owner.rolname
FROM pg_auth_members AS given
JOIN pg_roles AS member ON member.oid = given.member
JOIN pg_roles AS owner ON owner.oid = given.roleid
WHERE member.rolname IN ('{SERVICE_ROLE}', '{READONLY_ROLE}')
"""  # noqa: S608

# Which constraints and unique indexes are there and do not hold?
_CONSTRAINTS = """
SELECT conrelid::regclass::text || '.' || conname AS id FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND NOT convalidated
UNION ALL
SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class AS class ON class.oid = indexrelid
WHERE class.relnamespace = 'public'::regnamespace AND NOT (indisvalid AND indisready)
"""

# Which settings would lose an answered submit when the machine fails? As the service's own connections have them.
_DURABLE = """
SELECT name || ' = ' || setting AS id FROM pg_settings
WHERE (name IN ('fsync', 'full_page_writes') AND setting <> 'on')
    OR (name = 'synchronous_commit' AND setting = 'off')
UNION ALL
SELECT 'unlogged ' || relname FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relpersistence <> 'p'
"""

OF_DATABASE = (
    Invariant(
        "service",
        2,
        "of {checked} tables and views the service can only add to what must not change",
        f"SELECT count(*) FROM ({_OURS}) AS ours",  # noqa: S608
        _SERVICE,
        ids="privilege",
    ),
    Invariant(
        "readonly",
        8,
        "of {checked} tables and views the dashboards' role reads those of schema ops, and does nothing else",
        f"SELECT count(*) FROM ({_OURS}) AS ours",  # noqa: S608
        _READONLY,
        ids="privilege",
    ),
    Invariant(
        "roles",
        8,
        "{checked} roles of ours are nobody special",
        f"SELECT count(*) FROM pg_roles WHERE rolname IN ('{SERVICE_ROLE}', '{READONLY_ROLE}')",  # noqa: S608
        _ROLES,
        ids="role",
    ),
    Invariant(
        "constraints",
        2,
        "{checked} constraints are in force",
        "SELECT count(*) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
        _CONSTRAINTS,
        ids="constraint",
    ),
    Invariant(
        "durable",
        1,
        "{checked} settings make a commit survive the machine",
        "SELECT count(*) FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')",
        _DURABLE,
        ids="setting",
    ),
)
