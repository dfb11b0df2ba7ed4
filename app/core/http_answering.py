"""The transport of an answer to a request that is not whole: to close it is left to the connection."""

import asyncio
from collections.abc import Callable


class Answering(asyncio.Transport):
    """Writes as the connection's own transport does; `ended` is called where that one would be closed."""

    def __init__(self, transport: asyncio.Transport, ended: Callable[[], None]) -> None:
        super().__init__()
        self._transport = transport
        self._ended = ended

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send."""
        self._transport.write(data)

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()

    def close(self) -> None:
        """The answer is whole."""
        self._ended()
