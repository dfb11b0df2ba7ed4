"""What an attack is made of: a connection that asks, one that is held open, and what all attacks know of their victim.

told: the status of an answer, or `closed` (the connection ended without one), `silence` (no answer in time), `held`
(the server kept an unfinished request for all the time that was tried), `cut` (it ended that connection before).
"""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from app.web.requests import METADATA_BYTES_MAX, METADATA_MEMBERS_MAX
from tests.chaos.hostile.governor import Governor

ANSWER_SECONDS: Final = 75.0
SEND_SECONDS: Final = 300.0
CONNECT_SECONDS: Final = 10.0
PIECE_BYTES: Final = 64 * 1024
"""Of a request that stays half; one that is sent whole goes in pieces of four times that, to get on before those."""

METADATA: Final = {
    f"key{number}": "v" * (METADATA_BYTES_MAX // METADATA_MEMBERS_MAX - 16) for number in range(METADATA_MEMBERS_MAX)
}
"""Nearly as much as a job may have."""

Told = int | str


@dataclass(slots=True)
class Attacker:
    """The hostile tenant: where it sends to, its key, and the jobs it knows of."""

    host: str
    port: int
    key: str
    chance: random.Random
    governor: Governor
    jobs: deque[str] = field(default_factory=lambda: deque(maxlen=2_000))

    def head(self, method: str, path: str, headers: Mapping[str, str], length: int | None) -> bytes:
        """The head of a request; its key is the tenant's unless `headers` has another."""
        lines = {"host": self.host, "x-api-key": self.key, "content-type": "application/json", **headers}
        if length is not None:
            lines["content-length"] = str(length)
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1")

    def some_job(self) -> str:
        """One of its jobs; before it has any, one that does not exist."""
        return self.chance.choice(self.jobs) if self.jobs else f"job_{self.chance.getrandbits(128):032x}"


class Line:
    """A connection that is kept for the next request where the server lets it."""

    def __init__(self, attacker: Attacker) -> None:
        self._attacker = attacker
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.body = b""
        """Of the last answer."""

    async def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Told:
        """One request, sent whole unless the server hangs up; underscores in names of headers are hyphens."""
        attacker, named = self._attacker, {name.replace("_", "-"): value for name, value in headers.items()}
        head = attacker.head(method, path, named, None if method == "GET" else len(body))
        await attacker.governor.request()
        try:
            reader, writer = self._streams or await self._connect()
            async with asyncio.timeout(SEND_SECONDS):
                with contextlib.suppress(ConnectionError):  # the answer may have come before
                    await send(attacker, writer, head + body, piece_bytes=4 * PIECE_BYTES)
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._read(reader)
        except TimeoutError:
            self.close()
            return "silence"
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            self.close()
            return "closed"

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(CONNECT_SECONDS):
            self._streams = await asyncio.open_connection(self._attacker.host, self._attacker.port)
        return self._streams

    async def _read(self, reader: asyncio.StreamReader) -> int:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        self.body = await reader.readexactly(int(lines.get(b"content-length", b"0")))
        if lines.get(b"connection") == b"close" or b"transfer-encoding" in lines:
            self.close()
        return int(head.split(b" ", 2)[1])


async def send(attacker: Attacker, writer: asyncio.StreamWriter, content: bytes, *, piece_bytes: int) -> None:
    """All of it, in pieces."""
    left = memoryview(content)
    while left:
        piece, left = left[:piece_bytes], left[piece_bytes:]
        await attacker.governor.send(len(piece))
        writer.write(piece)
        await writer.drain()


async def hold(attacker: Attacker, begun: bytes, *, seconds: float, drip: bytes = b"", reads: bool = True) -> Told:
    """Open a connection, send `begun`, then a `drip` a second; `held` unless the server ends it within `seconds`."""
    await attacker.governor.request()
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(attacker.host, attacker.port)
    except (OSError, TimeoutError):
        return "closed"
    try:
        async with asyncio.timeout(seconds):
            await send(attacker, writer, begun, piece_bytes=PIECE_BYTES)
            while True:
                if drip:
                    await send(attacker, writer, drip, piece_bytes=PIECE_BYTES)
                if not reads:
                    await asyncio.sleep(1.0)
                elif await _ended(reader):
                    return "cut"
    except TimeoutError:
        return "held"
    except OSError:
        return "cut"
    finally:
        writer.transport.abort()


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Whether the connection ends within a second."""
    try:
        async with asyncio.timeout(1.0):
            return not await reader.read(PIECE_BYTES)
    except TimeoutError:
        return False


async def submit(attacker: Attacker, line: Line, model: str, *, prompt: str = "", **headers: str) -> Told:
    """One job, noted where it was accepted."""
    input_ = {"prompt": f"{prompt} {attacker.chance.getrandbits(64):x}"}
    body = {"model": model, "input": input_, "metadata": METADATA}
    told = await line.ask("POST", "/api/v1/jobs", orjson.dumps(body), **headers)
    if told in (200, 201, 202):
        attacker.jobs.append(orjson.loads(line.body)["id"])
    return told


Do = Callable[[Attacker, Line], Awaitable[Told]]


@dataclass(frozen=True, slots=True)
class Attack:
    """One way to hurt, by `family.name`; `at_once` of it go on side by side, one request after the other each."""

    name: str
    do: Do
    at_once: int = 1
