"""How fast one tenant can submit, and how long each submit takes: `python -m bench.submits`.

closed    one tenant, so many connections, each of which sends the next submit when the last one is answered
open      fifty tenants offer a steady rate that waits for nobody; latency counts from when a submit was due

Closed rows are taken with the worker stopped, so that they are about submitting alone; open rows with it stopped and
with it at work on what comes in.
"""

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import uvloop

from bench.http_client import HttpClient, request_bytes
from bench.load import PADDING
from bench.stand import EIGHT_POLLS, MODEL, Stand, load, stand
from bench.table import Table, percentile

HEADINGS = ("what", "tenants", "submits/s", "p50 ms", "p99 ms", "api us", "postgres us", "refused")


async def closed(table: Table, on: Stand, connections: int, seconds: float) -> None:
    """One row."""
    parts = urlsplit(on.url)
    client = HttpClient(str(parts.hostname), int(parts.port or 80))
    loop = asyncio.get_running_loop()
    took: list[float] = []
    refused = number = 0
    until = time.perf_counter() + seconds + 1
    idle = loop.create_future()
    busy = connections

    def submit() -> None:
        nonlocal number
        number += 1
        body = b'{"prompt":"%b","seed":%d,"steps":30}' % (PADDING.encode(), number)
        request = request_bytes("POST", f"/v2/{MODEL}", host=parts.netloc, key=on.keys[0], body=body)
        began_at = time.perf_counter()

        def answered(status: int, _answer: bytes) -> None:
            nonlocal refused, busy
            took.append(time.perf_counter() - began_at)
            refused += status != 200
            if time.perf_counter() < until:
                submit()
                return
            busy -= 1
            if not busy:
                idle.set_result(None)

        client.send(request, answered)

    for _ in range(connections):
        submit()
    await asyncio.sleep(1)
    took.clear()
    before, began_at = on.usage(), time.perf_counter()
    await idle
    elapsed = time.perf_counter() - began_at
    used = on.usage().since(before).parts
    client.close()
    latency = (percentile(took, 0.5), percentile(took, 0.99))
    table.row(_cells(f"closed, {connections}", 1, len(took), elapsed, latency, used, refused))


async def opened(table: Table, on: Stand, rate: float, seconds: float, *, what: str) -> None:
    """One row."""
    async with load(on.url, on.keys, EIGHT_POLLS) as generator:
        await generator.tell(rate=rate)
        await asyncio.sleep(2)
        await generator.tell(report=True)
        before, began_at = on.usage(), time.perf_counter()
        await asyncio.sleep(seconds)
        seen = await generator.tell(report=True)
        elapsed = time.perf_counter() - began_at
        used = on.usage().since(before).parts
    refused = seen["submits"] - seen["statuses"].get("200", 0)
    latency = (seen["submit_p50"], seen["submit_p99"])
    table.row(_cells(what, len(on.keys), seen["submits"], elapsed, latency, used, refused))


def _cells(
    what: str,
    tenants: int,
    submits: int,
    elapsed: float,
    latency: tuple[float, float],
    used: Mapping[str, float],
    refused: int,
) -> dict[str, object]:
    return {
        "what": what,
        "tenants": tenants,
        "submits/s": submits / elapsed,
        "p50 ms": latency[0] * 1e3,
        "p99 ms": latency[1] * 1e3,
        "api us": used["api"] / submits * 1e6,
        "postgres us": used["postgres"] / submits * 1e6,
        "refused": refused,
    }


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    async with stand(EIGHT_POLLS) as on:
        _signal(on, signal.SIGSTOP)
        for connections in given.connections:
            await closed(table, on, connections, given.seconds)
        await opened(table, on, given.rate, given.seconds, what="open")
        _signal(on, signal.SIGCONT)
    async with stand(EIGHT_POLLS) as on:
        await opened(table, on, given.rate, given.seconds, what="open, worker on")


def _signal(on: Stand, number: int) -> None:
    for pid in on.parts["worker"]:
        os.kill(pid, number)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, nargs="*", default=[1, 16, 64])
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each row")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
