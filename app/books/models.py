"""Why the database may be older than what was sent.

(none) ── a connection finds something ──► doubt ── `waystation recover`, or it is refuted ──► (none)
"""

from enum import StrEnum


class Doubt(StrEnum):
    """Older: something that a process knows is missing. Moved: another server, timeline or database has the books.
    Unvouched: jobs wait to be sent, and nobody who runs knows the books. Copied: the data directory of `up` is a copy."""

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
"""Each in a few words for people."""
