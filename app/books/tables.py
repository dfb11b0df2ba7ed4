"""The table of the database identity."""

from sqlalchemy import CheckConstraint, Column, Integer, SmallInteger, Table, Text, Uuid

from app.books.models import Doubt
from app.core.database.tables import instant, metadata, one_of

books = Table(
    "books",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, server_default="1"),
    Column(
        "books_id",
        Uuid,
        comment="Made by the first process that opens the database; a copy has the same. Null: no process has opened it yet",
    ),
    Column(
        "server",
        Text,
        comment="System identifier, timeline and database oid of the server on which they were last known to be complete",
    ),
    Column(
        "recoveries",
        Integer,
        nullable=False,
        server_default="0",
        comment="How often waystation recover has gone through; processes forget what they knew from before",
    ),
    Column(
        "doubt",
        Text,
        comment="Why sending is stopped. older: something that a process knows is missing. moved: another server or timeline. unvouched: jobs wait, and nobody knows these books. copied: the data directory of up is a copy. Null: it is not",
    ),
    instant("doubted_at", comment="Since when"),
    one_of("doubt", Doubt),
    CheckConstraint("id = 1", name="id"),
    CheckConstraint("(doubt IS NULL) = (doubted_at IS NULL)", name="doubted"),
    comment="One row: which books these are, where they were last written, and whether they may be older than what was sent",
)
