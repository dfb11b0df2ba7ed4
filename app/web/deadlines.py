"""How long a request may take to come in, and an answer to be taken: pure choices, in seconds and bytes."""

from dataclasses import dataclass

IDLE_SECONDS = 75.0
"""A connection without a request, a new one as well."""
HEAD_SECONDS = 10.0
"""From the first byte of a request to the end of its head."""
BODY_SECONDS = 60.0
"""From the end of the head to the end of the body."""
BODY_WINDOW_SECONDS = 10.0
BYTES_A_SECOND_MIN = 1_000
"""In every window of a body, on average."""
FAREWELL_SECONDS = 0.25
"""A connection without a request, once the process stops: one may be on its way."""
UNREAD_SECONDS = 0.05
"""For the event loop to read such a request, where it has come and its connection is about to be closed."""
LINGER_SECONDS = 5.0
"""After an answer that ends the connection, for the client to read it."""


@dataclass(slots=True)
class Progress:
    """Bytes that move in one direction: of a body how many came, of an answer how many are left."""

    since: float
    count: int = 0
    waited: float = 0.0
    """Seconds in which we took nothing ourselves, which are not the client's."""
    looked_at: float = 0.0
    """When it was judged last."""
    _seen: int = 0

    def __post_init__(self) -> None:
        self._seen, self.looked_at = self.count, self.since

    def too_slow(self, now: float, *, waiting: bool) -> bool:
        """Whether a body has come too slowly since the last look; `waiting`: we do not read just now."""
        seconds, came = now - self.looked_at, self.count - self._seen
        self.looked_at, self._seen = now, self.count
        if waiting:
            self.waited += seconds
            return False
        return came < seconds * BYTES_A_SECOND_MIN or now - self.since - self.waited >= BODY_SECONDS

    def stuck(self, now: float, left: int) -> bool:
        """Whether an answer, of which `left` bytes are not taken yet, has been taken too slowly since the last look."""
        seconds, taken = now - self.looked_at, self._seen - left
        self.looked_at, self._seen = now, left
        return taken < seconds * BYTES_A_SECOND_MIN
