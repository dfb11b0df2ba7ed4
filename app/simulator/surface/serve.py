"""Ways to run a simulator: as a process, as a task, or in a test."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from app.core.logs.log import get_logger
from app.simulator.book import Book
from app.simulator.config import SimulatorConfig
from app.simulator.faults import read_rules
from app.simulator.simulator import Simulator
from app.simulator.stats import Stats
from app.simulator.surface.connection import Connection

log = get_logger(__name__)

_BACKLOG = 4096


class RunningSimulator:
    """A simulator that listens, with what tests need."""

    def __init__(self, simulator: Simulator, port: int) -> None:
        self.simulator = simulator
        self.port = port
        self.url = f"http://{simulator.config.host}:{port}"

    @property
    def config(self) -> SimulatorConfig:
        """The settings. A change takes effect with the next request."""
        return self.simulator.config

    @property
    def book(self) -> Book:
        """The book up to now."""
        self.simulator.settle(self.simulator.now())
        return self.simulator.book

    @property
    def stats(self) -> Stats:
        """Counts of what was received."""
        return self.simulator.stats

    def set_faults(self, *rules: Mapping[str, Any]) -> None:
        """Replace the fault rules; no rules: no faults. Raises FaultError."""
        self.simulator.faults.rules = read_rules([dict(rule) for rule in rules])


@asynccontextmanager
async def running_simulator(
    config: SimulatorConfig | None = None, *, sockets: Sequence[socket.socket] | None = None
) -> AsyncIterator[RunningSimulator]:
    """A simulator on the running loop. It listens on entry and stops on exit.

    Raises OSError if it cannot listen or write its book, BookError if the book is invalid.

    sockets: bound sockets to listen on, instead of the configured host and port.
    """
    simulator = Simulator(config or SimulatorConfig())
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    servers: list[asyncio.Server] = []

    def connect() -> Connection:
        return Connection(simulator, connections)

    try:
        if sockets is None:
            settings = simulator.config
            servers.append(await loop.create_server(connect, settings.host, settings.port, backlog=_BACKLOG))
        else:
            servers.extend([await loop.create_server(connect, sock=sock, backlog=_BACKLOG) for sock in sockets])
        yield RunningSimulator(simulator, servers[0].sockets[0].getsockname()[1])
    finally:
        for server in servers:
            server.close()
        for connection in tuple(connections):
            connection.stop()
        for server in servers:
            await server.wait_closed()
        simulator.settle(simulator.now())
        simulator.book.close()


async def serve(config: SimulatorConfig, *, sockets: Sequence[socket.socket] | None = None) -> None:
    """Run a simulator until this task is cancelled."""
    async with running_simulator(config, sockets=sockets):
        await asyncio.Event().wait()


async def run_simulator(config: SimulatorConfig, *, on_ready: Callable[[RunningSimulator], None] | None = None) -> None:
    """Run a simulator until SIGINT or SIGTERM. `on_ready` is called when it listens. Most efficient with `uvloop.run`."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    async with running_simulator(config) as running:
        for number in signals:
            loop.add_signal_handler(number, stopped.set)
        try:
            log.info("simulator.listening", url=running.url, runs=len(running.simulator.runs))
            if on_ready is not None:
                on_ready(running)
            await stopped.wait()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
