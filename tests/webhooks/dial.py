"""A process that tries to deliver to every URL it is given, or to fetch from it, and says which connections it was seen to
open.

`python -m tests.webhooks.dial`, JSON on standard input: how (deliver or fetch), urls, name_server (a port), allowed
(networks). On standard output: outcomes, by URL; connected, what the interpreter's own audit hook saw of `socket.connect`.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from app.core.config.settings import split_networks
from app.http_client.caller import Limits
from app.http_client.guard import Guard
from app.segmind.fetcher import Fetcher, NotFetched
from app.webhooks.delivery.sender import Sender
from tests.doubles.name_server import lookup

Attempt = Callable[[str], Awaitable[str]]
connected: list[str] = []


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        connected.append(repr(arguments[1]))


async def main(asked: dict[str, Any]) -> dict[str, str]:
    async def resolve(name: str, _port: int) -> Sequence[str]:
        return await asyncio.to_thread(lookup, asked["name_server"], name)

    for name in asked["validated"]:  # as somebody does who checks a name first and dials it later
        await resolve(name, 443)
    guard = Guard(split_networks(asked["allowed"]), lookup=resolve)
    attempt = fetching(guard) if asked["how"] == "fetch" else delivering(guard)
    return {url: await attempt(url) for url in asked["urls"]}


def delivering(guard: Guard) -> Attempt:
    sender = Sender(guard, total_seconds=30)

    async def deliver(url: str) -> str:
        return str((await sender.post(url, headers={"webhook-id": "evt_1"}, body=b"{}")).outcome)

    return deliver


def fetching(guard: Guard) -> Attempt:
    limits = Limits(connect_seconds=30, quiet_seconds=30, total_seconds=30, body_bytes_max=1_000)
    fetcher = Fetcher(guard, limits=limits, at_once=1, trusted_url="https://api.segmind.com")

    async def fetch(url: str) -> str:
        try:
            return (await fetcher.get(url)).content.decode()
        except NotFetched as error:
            refused = error.reason.startswith(("forbidden", "url_refused"))
            return "forbidden" if refused else error.reason

    return fetch


if __name__ == "__main__":
    question = json.load(sys.stdin)
    sys.addaudithook(audit)
    answer = asyncio.run(main(question))
    print(json.dumps({"outcomes": answer, "connected": connected}))
