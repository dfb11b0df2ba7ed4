"""Time as this process sees it. Leases and due times are the database's `now()`, never this."""

import time
from datetime import UTC, datetime

monotonic = time.monotonic
"""Seconds that never jump and do run on while the process is stopped: what deadlines are measured by."""


def now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(UTC)  # noqa: TID251


def rfc3339(at: datetime | None) -> str | None:
    """An instant as the API shows it: RFC 3339, UTC, milliseconds, `Z`."""
    if at is None:
        return None
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"
