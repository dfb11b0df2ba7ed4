"""How soon a submit is sent on an idle system: `python -m bench.rings`.

One job every 2.5 seconds, each of which has ended before the next. Measured is the time from the gateway's answer to the
submit until the first byte of it reaches the upstream, by the clock of this process, through which the upstream is reached.
`calm` are the jobs meanwhile which the gateway's processes and this one together stood in line for a processor for at most
`--calm` milliseconds: what it takes on a machine that nobody else uses.
"""

import argparse
import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import psutil
import uvloop

from bench.http_client import HttpClient, request_bytes
from bench.stand import MODEL, Runs, Stand, simulator, stand_on
from bench.table import Table, percentile

HEADINGS = (
    "workers",
    "jobs",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "most ms",
    "calm jobs",
    "calm p50",
    "calm p99",
    "worker us/job",
    "postgres us/job",
)
RUNS = Runs(mean_seconds=0.2, sigma=0.1)


class Line:
    """How long some processes have stood in line for a processor. Quick to ask: the sending goes on meanwhile."""

    def __init__(self, on: Stand) -> None:
        pids = {os.getpid(), *(pid for part in ("api", "worker", "postgres", "valkey") for pid in on.parts[part])}
        for pid in on.parts["postgres"]:
            pids.update(child.pid for child in psutil.Process(pid).children())
        self._files = [os.open(f"/proc/{pid}/schedstat", os.O_RDONLY) for pid in pids]

    @property
    def seconds(self) -> float:
        """Since they began."""
        total = 0.0
        for file in self._files:
            with contextlib.suppress(ProcessLookupError):
                total += int(os.pread(file, 100, 0).split()[1]) / 1e9
        return total

    def close(self) -> None:
        for file in self._files:
            os.close(file)


class Way:
    """To the upstream; notes when the first byte of each submit went by."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self.sent_at: asyncio.Queue[float] = asyncio.Queue()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(65536)
        if first.startswith(b"POST"):
            self.sent_at.put_nowait(time.perf_counter())
        there, back = await asyncio.open_connection(self._host, self._port)
        back.write(first)
        with contextlib.suppress(OSError):
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its own URL."""
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    finally:
        writer.close()


async def _submit(client: HttpClient, host: str, key: str, number: int) -> float:
    """When it was answered."""
    answered_at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def answered(status: int, _answer: bytes) -> None:
        assert status == 200, status
        answered_at.set_result(time.perf_counter())

    body = b'{"prompt":"a lighthouse","seed":%d}' % number
    client.send(request_bytes("POST", f"/v2/{MODEL}", host=host, key=key, body=body), answered)
    return await answered_at


async def measure(on: Stand, way: Way, jobs: int, *, gap_seconds: float, calm_seconds: float) -> dict[str, object]:
    """One row."""
    parts = urlsplit(on.url)
    client = HttpClient(str(parts.hostname), int(parts.port or 80))
    waited, calm = [], []
    before = on.usage()
    for number in range(-1, jobs):
        begun_at = time.perf_counter()
        line = Line(on)
        answered_at = await _submit(client, parts.netloc, on.keys[number % len(on.keys)], number)
        before_seconds = line.seconds
        async with asyncio.timeout(60):
            sent_at = await way.sent_at.get()
        in_line_seconds = line.seconds - before_seconds
        line.close()
        if number >= 0:  # the first one opens connections
            waited.append((sent_at - answered_at) * 1e3)
            if in_line_seconds <= calm_seconds:
                calm.append(waited[-1])
        await asyncio.sleep(begun_at + gap_seconds - time.perf_counter())
    used = on.usage().since(before).parts
    client.close()
    return {
        "workers": len(on.parts["worker"]),
        "jobs": jobs,
        "p50 ms": percentile(waited, 0.5),
        "p90 ms": percentile(waited, 0.9),
        "p99 ms": percentile(waited, 0.99),
        "most ms": max(waited),
        "calm jobs": len(calm),
        "calm p50": percentile(calm, 0.5),
        "calm p99": percentile(calm, 0.99),
        "worker us/job": used["worker"] / (jobs + 1) * 1e6,
        "postgres us/job": used["postgres"] / (jobs + 1) * 1e6,
    }


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    async with simulator(RUNS) as (url, pid):
        way = Way(url)
        async with way.open() as passing, stand_on(passing, pid, workers=given.workers) as on:
            await asyncio.sleep(given.settle)
            table.row(await measure(on, way, given.jobs, gap_seconds=given.gap, calm_seconds=given.calm / 1e3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--gap", type=float, default=2.5, help="seconds from one submit to the next")
    parser.add_argument("--settle", type=float, default=10.0, help="seconds of rest before")
    parser.add_argument("--calm", type=float, default=10.0, help="milliseconds")
    parser.add_argument("--workers", type=int, default=1)
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
