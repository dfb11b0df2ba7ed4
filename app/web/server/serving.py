"""The HTTP server of an API process: uvicorn's, with a shutdown that clients do not notice.

SIGTERM starts these steps:

    delay    SHUTDOWN_DELAY_SECONDS: `/readyz` answers 503, all else is served as before. Each answer has
             `Connection: close`, so clients move to other processes.
    grace    GRACE_SECONDS: clients that wait for a job get its current state, the listener is closed, and each connection
             is closed after its answer. This step ends when no connection and no request is left.
    end      a request without an answer gets 503 `shutting_down`.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from app.core import clock
from app.core.logs.log import get_logger
from app.core.process.stop_signals import stop_signals
from app.web.server.protocol import Protocol

log = get_logger(__name__)

CLOSE = (b"connection", b"close")
LOOK_SECONDS = 0.02
CLOSING_SHARE, CLOSING_SECONDS_MAX = 0.25, 3.0
"""The part of the grace that is reserved for closing the application's resources after the last answer."""
LAST_ANSWERS_SECONDS = 0.5
"""How long a client may take to read that its request was aborted."""
ANSWERING_SECONDS_MIN = 1.0
"""The least time for current requests: clients that wait for a job must get an answer, also with a short grace."""


class Server(uvicorn.Server):
    """Serves until `stop`, which sets `stopping`. After the delay it calls `release`, which answers all clients that wait."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        delay_seconds: float,
        grace_seconds: float,
        stopping: asyncio.Event,
        release: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._delay_seconds = delay_seconds
        self._closing_seconds = min(CLOSING_SECONDS_MAX, CLOSING_SHARE * grace_seconds)
        self._answering_seconds = max(ANSWERING_SECONDS_MIN, grace_seconds - self._closing_seconds)
        self._stopping = stopping
        self._release = release
        self._serve_until = 0.0
        self._answer_until = 0.0

    def stop(self, *, delayed: bool = True) -> None:
        """Stop cleanly. `delayed`: false if no load balancer needs the delay."""
        if self.should_exit:
            return
        self._stopping.set()
        self._serve_until = clock.monotonic() + (self._delay_seconds if delayed and self.started else 0.0)
        self._answer_until = self._serve_until + self._answering_seconds
        self.should_exit = True
        self._say_close()
        log.info("api.stopping", delay_seconds=self._delay_seconds)

    def hurry(self) -> None:
        """End the delay now, and the grace within ANSWERING_SECONDS_MIN."""
        now = clock.monotonic()
        self._serve_until = min(self._serve_until, now)
        self._answer_until = min(self._answer_until, now + ANSWERING_SECONDS_MIN)
        log.warning("api.stop_forced")

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals while serving. uvicorn's own method raises them again afterwards, which would end the process."""
        with stop_signals(first=self.stop, again=self.hurry):
            yield

    async def on_tick(self, counter: int) -> bool:
        """Run ten times a second. Returns True when the listener must be closed."""
        told = await super().on_tick(counter)  # once a second it replaces the default headers
        if told:
            self._say_close()
        return told and clock.monotonic() >= self._serve_until

    def _say_close(self) -> None:
        if CLOSE not in self.server_state.default_headers:
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer the clients that wait, close every connection, then the application's resources."""
        await self.on_tick(0)  # after an early signal there are no default headers yet
        self._release()
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        await self._answered()
        await self._cut()
        try:
            async with asyncio.timeout(max(self._closing_seconds, LAST_ANSWERS_SECONDS)):
                await self.lifespan.shutdown()
        except TimeoutError:
            log.warning("api.close_timed_out")
        log.info("api.stopped")

    @property
    def _connections(self) -> list[Protocol]:
        return [connection for connection in self.server_state.connections if isinstance(connection, Protocol)]

    @property
    def _busy(self) -> bool:
        return bool(self.server_state.connections or self.server_state.tasks)

    async def _answered(self) -> None:
        """Wait until no connection and no request is left, or the grace is over."""
        while self._busy and clock.monotonic() < self._answer_until:
            for (
                connection
            ) in self._connections:  # a connection may have been accepted just before the listener was closed
                connection.shutdown()
            await asyncio.sleep(LOOK_SECONDS)

    async def _cut(self) -> None:
        """Abort the requests and connections that are left."""
        if not self._busy:
            return
        tasks = list(self.server_state.tasks)
        log.warning("api.requests_aborted", connections=len(self._connections), requests=len(tasks))
        for connection in self._connections:
            connection.cut()
        for task in tasks:
            task.cancel()
        for _ in range(round(LAST_ANSWERS_SECONDS / LOOK_SECONDS)):
            if not self._busy:
                return
            await asyncio.sleep(LOOK_SECONDS)
        for connection in self._connections:
            connection.transport.abort()
