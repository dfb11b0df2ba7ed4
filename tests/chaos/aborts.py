"""Clients that hang up: requests of every kind, cut while they are sent, while they are answered, or in between."""

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import orjson

from tests.chaos.load import MODEL, Load, Submit, echo
from tests.chaos.stack import Stack

AT_ONCE: Final = 64
ANSWER_SECONDS: Final = 30.0

Made = tuple[bytes, Submit | None]
"""The bytes of a request, and the submit that it is."""


class Aborter:
    """Sends requests and hangs up on them. Its submits are `load`'s: one whose answer came whole is acknowledged."""

    def __init__(self, stack: Stack, load: Load, *, chance: random.Random) -> None:
        parts = urlsplit(stack.url)
        self._address = (str(parts.hostname), int(parts.port or 80))
        self._key = stack.api_key
        self._load = load
        self._chance = chance
        self._kinds: tuple[tuple[str, Callable[[], Made]], ...] = (
            ("submit", lambda: self._submit(f"/v2/{MODEL}")),
            ("submit and wait", lambda: self._submit(f"/v1/{MODEL}")),
            ("native submit", lambda: self._native_submit("")),
            ("native submit and wait", lambda: self._native_submit("prefer: wait=30\r\n")),
            ("status", lambda: self._read("/v2/requests/{}/status")),
            ("result", lambda: self._read("/v2/requests/{}")),
            ("job", lambda: self._read("/api/v1/jobs/{}")),
            ("wait", lambda: self._read("/api/v1/jobs/{}?wait=30")),
            ("list", lambda: self._read("/api/v1/jobs?limit=50")),
            ("cancel", lambda: (self._request("POST", f"/api/v1/jobs/{self._some_id()}/cancel"), None)),
        )
        self.cut: Counter[str] = Counter()
        """How many were cut, by kind."""

    async def abort_many(self, count: int) -> None:
        """So many, AT_ONCE at a time, of all kinds alike."""
        left = iter(range(count))

        async def one_after_the_other() -> None:
            for number in left:
                name, make = self._kinds[number % len(self._kinds)]
                await self._abort(*make())
                self.cut[name] += 1

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))

    async def _abort(self, request: bytes, submit: Submit | None) -> None:
        chance = self._chance
        reader, writer = await asyncio.open_connection(*self._address)
        with contextlib.suppress(ConnectionError):
            match chance.choice(("sending", "waiting", "reading")):
                case "sending":
                    writer.write(request[: chance.randrange(len(request))])
                    await asyncio.sleep(chance.uniform(0, 0.01))
                case "waiting":
                    writer.write(request)
                    await asyncio.sleep(chance.choice((0.0, chance.uniform(0, 0.005), chance.uniform(0, 0.1))))
                case _:
                    writer.write(request)
                    _note(await _some_of(reader, chance.choice((1, chance.randrange(1, 600), 10**6))), submit)
        if chance.random() < 0.5:
            reset = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        writer.transport.abort()

    def _submit(self, path: str) -> Made:
        submit = self._new()
        return self._request("POST", path, echo(submit.marker)), submit

    def _native_submit(self, headers: str) -> Made:
        submit = self._new()
        body = b'{"model":"%b","input":%b}' % (MODEL.encode(), echo(submit.marker))
        return self._request("POST", "/api/v1/jobs", body, headers), submit

    def _new(self) -> Submit:
        submit = Submit(f"m-{uuid4().hex}", MODEL, None)
        self._load.submits.append(submit)
        return submit

    def _read(self, path: str) -> Made:
        return self._request("GET", path.format(self._some_id())), None

    def _some_id(self) -> str:
        known = [submit.request_id for submit in self._load.submits[-500:] if submit.request_id is not None]
        return self._chance.choice(known) if known else f"job_{uuid4().hex}"

    def _request(self, method: str, path: str, body: bytes = b"", headers: str = "") -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {self._address[0]}\r\nx-api-key: {self._key}\r\n{headers}"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


async def _some_of(reader: asyncio.StreamReader, most: int) -> bytes:
    """That many bytes of the answer, or all of it where it has fewer."""
    came = b""
    async with asyncio.timeout(ANSWER_SECONDS):
        while len(came) < most and not _is_whole(came):
            more = await reader.read(most - len(came))
            if not more:
                break
            came += more
    return came


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(end) and bool(lengths) and len(body) >= int(lengths[0])


def _note(answer: bytes, submit: Submit | None) -> None:
    """A submit's whole answer acknowledges it, and names it."""
    if submit is None or not _is_whole(answer):
        return
    head, _, body = answer.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    submit.statuses.append(status)
    assert status in (200, 201, 202, 504), answer
    told = orjson.loads(body)
    named = [line.split(b":")[1].strip() for line in head.lower().split(b"\r\n") if line.startswith(b"x-request-id:")]
    submit.request_id = named[0].decode() if named else told.get("request_id") or told["id"]
    submit.told = "acknowledged"
