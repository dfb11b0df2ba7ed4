"""Counts what the simulator received, for questions such as "how many requests a minute at most"."""

from collections import Counter, deque
from typing import Any

_SECONDS_KEPT = 3600


class Stats:
    """Counts by kind of request and by status, and for the last hour by kind and second.

    Also counts, by second, what the rate limit accepted and refused.
    """

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.in_flight_max = 0
        self._seconds: deque[tuple[int, dict[str, int]]] = deque(maxlen=_SECONDS_KEPT)
        self._limited: deque[dict[str, int]] = deque(maxlen=_SECONDS_KEPT)

    def count(self, kind: str, now: float) -> None:
        """Count one request of a kind."""
        self.requests[kind] += 1
        second = int(now)
        seconds = self._seconds
        if not seconds or seconds[-1][0] != second:
            seconds.append((second, {}))
        slice_ = seconds[-1][1]
        slice_[kind] = slice_.get(kind, 0) + 1

    def count_limited(self, now: float, *, refused: bool) -> None:
        """Count one request that the rate limit accepted or refused."""
        second = int(now)
        if not self._limited or self._limited[-1]["second"] != second:
            self._limited.append({"second": second, "let_in": 0, "refused": 0})
        self._limited[-1]["refused" if refused else "let_in"] += 1

    def busiest(self, window_seconds: int, *kinds: str) -> int:
        """The most requests of these kinds (default: all) in `window_seconds` whole seconds."""
        counted = [(second, _total(slice_, kinds)) for second, slice_ in self._seconds]
        most = total = begin = 0
        for second, number in counted:
            total += number
            while counted[begin][0] <= second - window_seconds:
                total -= counted[begin][1]
                begin += 1
            most = max(most, total)
        return most

    def show(self) -> dict[str, Any]:
        """The counts as values for JSON."""
        return {
            "requests": dict(self.requests),
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "in_flight_max": self.in_flight_max,
            "busiest_second": {kind: self.busiest(1, kind) for kind in self.requests},
            "busiest_minute": {kind: self.busiest(60, kind) for kind in self.requests},
            "seconds": [{"second": second, **slice_} for second, slice_ in self._seconds],
            "limited": list(self._limited),
        }


def _total(slice_: dict[str, int], kinds: tuple[str, ...]) -> int:
    if not kinds:
        return sum(slice_.values())
    return sum(slice_.get(kind, 0) for kind in kinds)
