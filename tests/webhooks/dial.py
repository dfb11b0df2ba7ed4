"""A process that tries to deliver to every URL it is given, and says which connections it was seen to open.

`python -m tests.webhooks.dial`, JSON on standard input: urls, name_server (a port), allowed (networks). On standard
output: outcomes, by URL; connected, what the interpreter's own audit hook saw of `socket.connect`.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Any

from app.core.settings import split_networks
from app.webhooks.guard import Guard
from app.webhooks.sender import Sender
from tests.doubles.name_server import lookup

connected: list[str] = []


def audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.connect":
        connected.append(repr(arguments[1]))


async def main(asked: dict[str, Any]) -> dict[str, str]:
    async def resolve(name: str, _port: int) -> Sequence[str]:
        return await asyncio.to_thread(lookup, asked["name_server"], name)

    for name in asked["validated"]:  # as somebody does who checks a name first and dials it later
        await resolve(name, 443)
    sender = Sender(Guard(split_networks(asked["allowed"]), lookup=resolve), total_seconds=3)
    outcomes = {}
    for url in asked["urls"]:
        attempted = await sender.post(url, headers={"webhook-id": "evt_1"}, body=b"{}")
        outcomes[url] = str(attempted.outcome)
    return outcomes


if __name__ == "__main__":
    question = json.load(sys.stdin)
    sys.addaudithook(audit)
    answer = asyncio.run(main(question))
    print(json.dumps({"outcomes": answer, "connected": connected}))
