"""Checks `not_before`. It is limited, so that a job does not hold credits for too long."""

from datetime import datetime, timedelta

from app.core.clock import rfc3339
from app.web.requests import malformed

NOT_BEFORE_MAX = timedelta(days=30)
"""The longest allowed wait: a job that waits holds credits and a place in the queue."""


def checked_not_before(
    not_before: datetime | None, *, deadline_seconds: float | None, now: datetime, where: str = "$.not_before"
) -> datetime | None:
    """Return the instant before which a job that is accepted `now` is not sent, or None.

    Raises Malformed if it is more than NOT_BEFORE_MAX after `now`, or not before the deadline: such a job could never be sent.
    """
    if not_before is None:
        return None
    last = now + NOT_BEFORE_MAX
    if not_before > last:
        expected = (
            f"expected a time at most {NOT_BEFORE_MAX.days} days from now, such as {_example(now, NOT_BEFORE_MAX)}"
        )
        raise malformed(where, expected)
    if deadline_seconds is None:
        return not_before
    deadline = timedelta(seconds=deadline_seconds)
    if not_before >= now + deadline:
        expected = (
            f"expected a time before the deadline, which is {deadline_seconds:g} seconds from now, such as"
            f" {_example(now, deadline)}"
        )
        raise malformed(where, expected)
    return not_before


def _example(now: datetime, room: timedelta) -> str | None:
    return rfc3339(now + room / 2)
