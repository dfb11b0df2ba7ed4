"""When a job may be asked to start: soon enough that what it holds is not held for ever."""

from datetime import datetime, timedelta

from app.core.clock import rfc3339
from app.web.requests import malformed

NOT_BEFORE_MAX = timedelta(days=30)
"""A job that waits holds credits and a place in the queue. Its tenant may ask for no more than this."""


def checked_not_before(
    not_before: datetime | None, *, deadline_seconds: float | None, now: datetime, where: str = "$.not_before"
) -> datetime | None:
    """The instant before which a job that is accepted `now` is not sent.

    Raises Malformed where it lies more than NOT_BEFORE_MAX ahead, or not before the deadline: the job could never be sent.
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
