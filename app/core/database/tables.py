"""Code that the tables of all rooms share, and the table of processes.

SQLAlchemy describes the schema, and builds the lists with filters (`listing`). Neither workers nor commands import it, since
the import would take a third of the time in which a command starts.
"""

from collections.abc import Iterable

from sqlalchemy import CheckConstraint, Column, DateTime, Index, Integer, MetaData, Table, Text, Uuid, func

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
"""All tables of all rooms, after the rooms' `tables` are imported. Tests compare it with the migrations."""

processes = Table(
    "processes",
    metadata,
    Column("id", Uuid, primary_key=True, comment="the incarnation: new at every start"),
    Column("kind", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("beat_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("stopped_at", DateTime(timezone=True), comment="set by a process that ends in order"),
    Column(
        "beats",
        Integer,
        nullable=False,
        server_default="0",
        comment="How often it has said that it lives: the process remembers the last one, and finds an older database by it",
    ),
    Column(
        "vouched_for",
        Text,
        comment="The server (as in books) on which it has found all that it knew, after the database had moved",
    ),
    CheckConstraint("kind IN ('api', 'worker')", name="kind"),
    Index(None, "beat_at"),
)


def one_of(column: str, values: Iterable[object]) -> CheckConstraint:
    """Return the CHECK of an enum column, `column IN (…)`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def instant(name: str, **options: object) -> "Column[object]":
    """Return a column `…_at` with a time zone."""
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]
