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
    Doubt.OLDER: "it lacks what a process of ours has written",
    Doubt.MOVED: "another server, timeline or database has it",
    Doubt.UNVOUCHED: "jobs wait to be sent, and no process and no witness in Redis knows it",
    Doubt.COPIED: "its data directory is a copy",
}
"""Each in a few words for people."""
