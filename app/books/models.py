"""Reasons why the database may be older than what was sent.

(none) ── check of a connection ──► doubt ── `waystation recover`, or all workers vouch ──► (none)
"""

from enum import StrEnum


class Doubt(StrEnum):
    """Older: something that a process wrote is missing. Moved: the database is on another server, timeline or database oid.
    Unvouched: jobs wait, and no process or witness knows the database. Copied: the data directory of `up` is a copy."""

    OLDER = "older"
    MOVED = "moved"
    UNVOUCHED = "unvouched"
    COPIED = "copied"


WORDS = {
    Doubt.OLDER: "rows that a process has written are missing",
    Doubt.MOVED: "its server, timeline or database has changed",
    Doubt.UNVOUCHED: "jobs wait to be sent, and no process and no witness in Redis knows this database",
    Doubt.COPIED: "its data directory was copied",
}
"""The text of each reason, for notes and logs."""
