"""Limit the bytes of request bodies that a process holds at a time, for all callers and for each."""

from collections import Counter
from types import TracebackType
from typing import Self

from app.core.errors import Refusal

TOTAL_BYTES_MAX = 96 * 1024 * 1024
SMALL_RESERVE_BYTES = 32 * 1024 * 1024
"""Additional memory for bodies that are small so far, so that large bodies do not block them."""
SMALL_BYTES = 64 * 1024
OWNER_BYTES_MAX = 40 * 1024 * 1024
"""The most bytes of one caller: three bodies of 10 MB, and small ones."""
RETRY_SECONDS = 2


class BodyMemoryFull(Refusal):
    """503: bodies use all the memory that is allowed for them."""

    status = 503
    code = "overloaded"

    def __init__(self, whose: str) -> None:
        super().__init__(
            f"{whose} already use all the memory of this process for request bodies; try again",
            retry_after_seconds=RETRY_SECONDS,
        )


class BodyMemory:
    """Counts the held bytes of one process."""

    def __init__(self) -> None:
        self.total = 0
        self._by_owner: Counter[object] = Counter()

    def take(self, owner: object, size: int, *, so_far: int) -> None:
        """Count `size` more bytes of a body that has `so_far`. Raises BodyMemoryFull."""
        if self._by_owner[owner] + size > OWNER_BYTES_MAX:
            raise BodyMemoryFull("requests of this tenant")
        most = TOTAL_BYTES_MAX + (SMALL_RESERVE_BYTES if so_far + size <= SMALL_BYTES else 0)
        if self.total + size > most:
            raise BodyMemoryFull("other requests")
        self.total += size
        self._by_owner[owner] += size

    def give_back(self, owner: object, size: int) -> None:
        """Subtract bytes that are no longer held."""
        self.total -= size
        self._by_owner[owner] -= size
        if not self._by_owner[owner]:
            del self._by_owner[owner]


class HeldBytes(bytes):
    """A body whose bytes are subtracted when it is deleted."""

    _memory: BodyMemory
    _owner: object

    def __del__(self) -> None:
        self._memory.give_back(self._owner, len(self))


class Incoming:
    """A body that arrives in pieces. Each piece is counted."""

    def __init__(self, memory: BodyMemory, owner: object) -> None:
        self._memory, self._owner = memory, owner
        self._pieces = bytearray()

    def __enter__(self) -> Self:
        return self

    def add(self, piece: bytes) -> int:
        """Add a piece. Returns the size so far. Raises BodyMemoryFull."""
        self._memory.take(self._owner, len(piece), so_far=len(self._pieces))
        self._pieces += piece
        return len(self._pieces)

    def whole(self) -> HeldBytes:
        """Return the whole body, which counts until it is deleted."""
        body = HeldBytes(self._pieces)
        body._memory, body._owner = self._memory, self._owner
        self._pieces = bytearray()
        return body

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._pieces:
            self._memory.give_back(self._owner, len(self._pieces))
