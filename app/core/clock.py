"""Time as this process sees it. Leases and due times are the database's `now()`, never this."""

import re
import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds that never jump and do run on while the process is stopped: what deadlines are measured by."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251


def rfc3339(at: datetime | None) -> str | None:
    """An instant as the API shows it: RFC 3339, UTC, milliseconds, `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def parse_instant(text: str) -> datetime:
    """An RFC 3339 instant with its offset, in UTC; raises ValueError."""
    if _INSTANT.fullmatch(text) is None:
        raise ValueError("expected an RFC 3339 time with its offset, such as 2030-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):  # the last one: at the ends of the calendar
        raise ValueError("no such time") from None
