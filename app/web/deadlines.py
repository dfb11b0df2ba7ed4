"""Timeouts for receiving a request and for sending an answer: pure decisions, in seconds and bytes."""

from dataclasses import dataclass

IDLE_SECONDS = 75.0
"""For a connection without a request, also a new one."""
HEAD_SECONDS = 10.0
"""From the first byte of a request to the end of its head."""
BODY_SECONDS = 60.0
"""From the end of the head to the end of the body."""
BODY_WINDOW_SECONDS = 10.0
BYTES_A_SECOND_MIN = 1_000
"""The lowest average in each window of a body."""
FAREWELL_SECONDS = 0.25
"""For a connection without a request while the process stops: one may be on its way."""
UNREAD_SECONDS = 0.05
"""For the event loop to read a request that arrived just before its connection is closed."""
LINGER_SECONDS = 5.0
"""After an answer that ends the connection, for the client to read it."""


@dataclass(slots=True)
class Progress:
    """Progress in one direction: received bytes of a body, or remaining bytes of an answer."""

    since: float
    count: int = 0
    waited: float = 0.0
    """Seconds in which we did not read, which do not count against the client."""
    looked_at: float = 0.0
    """When it was checked last."""
    _seen: int = 0

    def __post_init__(self) -> None:
        self._seen, self.looked_at = self.count, self.since

    def too_slow(self, now: float, *, waiting: bool) -> bool:
        """Return whether a body arrived too slowly since the last check. `waiting`: we do not read at present."""
        seconds, came = now - self.looked_at, self.count - self._seen
        self.looked_at, self._seen = now, self.count
        if waiting:
            self.waited += seconds
            return False
        return came < seconds * BYTES_A_SECOND_MIN or now - self.since - self.waited >= BODY_SECONDS

    def stuck(self, now: float, left: int) -> bool:
        """Return whether the client read an answer too slowly since the last check. `left`: its unsent bytes."""
        seconds, taken = now - self.looked_at, self._seen - left
        self.looked_at, self._seen = now, left
        return taken < seconds * BYTES_A_SECOND_MIN
