"""A webhook receiver that keeps a book: what came, when, and with which headers. What it answers is scripted."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from standardwebhooks import Webhook, WebhookVerificationError

from tests.doubles.raw_server import Peer, RawServer, answer, raw_server


@dataclass(frozen=True)
class Received:
    """One POST: names of headers in lower case."""

    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def type(self) -> str:
        return str(orjson.loads(self.body)["type"])

    def verified_by(self, secret: str) -> bool:
        """Whether the reference library accepts it."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


Reply = Callable[["Received", Peer], Awaitable[None]]


def says(status: str, *headers: str, body: bytes = b"ok") -> Reply:
    """Always this."""

    async def reply(_received: Received, peer: Peer) -> None:
        await peer.send(answer(body, status, *headers))

    return reply


OK = says("200 OK")


@dataclass
class Receiver:
    """Where it listens, what it has received, and how it replies from now on."""

    server: RawServer
    reply: Reply
    received: list[Received] = field(default_factory=list)
    answered: int = 0
    open_now: int = 0
    open_most: int = 0

    @property
    def url(self) -> str:
        return f"{self.server.url}/hook"

    async def until(self, number: int, *, seconds: float = 240.0) -> list[Received]:
        """What has come, once there is as much; AssertionError when the time is over."""
        give_up_at = asyncio.get_running_loop().time() + seconds
        while len(self.received) < number:
            assert asyncio.get_running_loop().time() < give_up_at, (
                f"{len(self.received)} of {number} within {seconds} s"
            )
            await asyncio.sleep(0.005)
        return self.received


@asynccontextmanager
async def receiving(reply: Reply = OK) -> AsyncIterator[Receiver]:
    """A receiver on the loopback."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        if not request:
            return
        received = parsed(request)
        receiver.received.append(received)
        receiver.open_now += 1
        receiver.open_most = max(receiver.open_most, receiver.open_now)
        try:
            await receiver.reply(received, peer)
            receiver.answered += 1
        finally:
            receiver.open_now -= 1

    async with raw_server(script) as server:
        receiver = Receiver(server, reply)
        yield receiver


def parsed(request: bytes) -> Received:
    """A request's parts."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Received(first.split()[1], headers, body, asyncio.get_running_loop().time())
