"""What the rooms' tables have in common, and the table of processes.

SQLAlchemy describes the schema, and puts the lists together that can be filtered (`listing`). Neither workers nor commands
import it: it would take a third of the time that a command needs to start.
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
"""Every table of every room, once the rooms' `tables` are imported; tests compare it with the migrations."""

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
    """The CHECK of an enum column, `column IN (…)`."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(str(value)) for value in values)})", name=column)


def instant(name: str, **options: object) -> "Column[object]":
    """A column `…_at`, with its time zone."""
    return Column(name, DateTime(timezone=True), **options)  # type: ignore[arg-type]
