"""Hold the polls of clients that poll steadily: from the third poll on, for at most the client's own interval.

The client then gets the end of its job immediately instead of half an interval later, and polls half as often.
"""

from collections import OrderedDict
from uuid import UUID

from app.core import clock

KNOWN_MAX = 20_000
HELD_SECONDS_MAX = 10.0
"""The SDK has a read timeout of 30 s, and some proxies of 15 s."""
UNSTEADY = 1.25
"""If two intervals differ by more than this factor, the client does not poll steadily."""

Request = tuple[UUID, UUID]
"""Tenant and job."""


class SteadyPolls:
    """The poll intervals of each request, as this process sees them. Above KNOWN_MAX it drops the least recently polled.

    An interval is the time from an answer to the next poll, without the time for which a poll is held.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Request, tuple[float, float | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def hold_seconds(self, request: Request) -> float:
        """How many seconds the present poll may be held; 0 if the client does not poll steadily. Stores its interval."""
        known = self._known.get(request)
        if known is None:
            return 0.0
        answered_at, before = known
        interval = max(clock.monotonic() - answered_at, 0.0)
        self._known[request] = (answered_at, interval)
        if before is None:
            return 0.0
        shorter, longer = sorted((before, interval))
        return min(shorter, HELD_SECONDS_MAX) if longer <= UNSTEADY * shorter else 0.0

    def answered(self, request: Request, *, final: bool) -> None:
        """Store that the poll is answered now. `final`: the job has ended, so the request is dropped."""
        if final:
            self._known.pop(request, None)
            return
        _, interval = self._known.get(request, (0.0, None))
        self._known[request] = (clock.monotonic(), interval)
        self._known.move_to_end(request)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
