"""The clocks of this process. Leases and due times use the database's `now()`, never these clocks."""

import re
import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds for deadlines. They never jump, and they continue while the process is stopped."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def now() -> datetime:
    """Return the time of the wall clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251


def rfc3339(at: datetime | None) -> str | None:
    """Format an instant as the API shows it: RFC 3339, UTC, milliseconds, `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_instant(text: str) -> datetime:
    """Parse an RFC 3339 instant with an offset, into UTC. Raises ValueError."""
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("expected an RFC 3339 time with its offset, such as 2030-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # OverflowError: near year 1 or year 9999
        raise ValueError("no such time") from None
