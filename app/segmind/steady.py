"""Clients that poll steadily: from its third poll on, one is held for at most its own interval.

It then hears of the end the moment it comes, instead of half an interval later, and asks half as often.
"""

from collections import OrderedDict
from uuid import UUID

from app.core import clock

KNOWN_MAX = 20_000
HELD_SECONDS_MAX = 10.0
"""The SDK gives up reading after 30 s, proxies some after 15."""
UNSTEADY = 1.25
"""Intervals that differ by more than this factor are no rhythm."""

Request = tuple[UUID, UUID]
"""Tenant and job."""


class SteadyPolls:
    """The rhythm of each request's polls, as this process sees it; the least recently polled are forgotten first.

    An interval is counted from our answer to the next poll: what the client itself waits, however long it was held.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[Request, tuple[float, float | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def hold_seconds(self, request: Request) -> float:
        """How long the poll that has just come may be held; 0 for one without a rhythm."""
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
        """The poll is answered now; after a final state there is no next one to be held."""
        if final:
            self._known.pop(request, None)
            return
        _, interval = self._known.get(request, (0.0, None))
        self._known[request] = (clock.monotonic(), interval)
        self._known.move_to_end(request)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
