"""A load generator: its own process, told what to do by lines of JSON on standard input, one line of answer for each.

`{"rate": 100}` offers so many submits a second from now on, as a Poisson stream that does not wait for answers; the
latency of a submit counts from when it was due to leave. Each accepted job's result is asked for after
`first_read_seconds`, and again every `next_read_seconds` until it has ended. `{"report": true}` tells what was seen
since the last report.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

from bench.http_client import HttpClient, request_bytes
from bench.table import percentile

PADDING = "a lighthouse at dusk, waves against the rocks, oil on canvas, " * 14
"""Makes a body about 1 KB."""
_STILL_RUNNING = (b'"status":"PROCESSING"', b'"status":"QUEUED"')


@dataclass(slots=True)
class Seen:
    """Since the last report."""

    submits: int = 0
    reads: int = 0
    fetched: int = 0
    submit_seconds: list[float] = field(default_factory=list)
    read_seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)


class Generator:
    """Offers jobs and fetches their results."""

    def __init__(self, settings: dict[str, Any]) -> None:
        parts = urlsplit(settings["url"])
        self._host = f"{parts.hostname}:{parts.port}"
        self._client = HttpClient(str(parts.hostname), int(parts.port or 80))
        self._keys: list[str] = settings["keys"]
        self._model: str = settings["model"]
        self._first_read_seconds: float = settings["first_read_seconds"]
        self._next_read_seconds: float = settings["next_read_seconds"]
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(settings.get("seed", 1))
        self._rate = 0.0
        self._due_at = 0.0
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None
        self._seen = Seen()

    def offer(self, rate: float) -> None:
        """So many submits a second, from now on."""
        self._rate = rate
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if rate > 0:
            self._due_at = self._loop.time() + self._rng.expovariate(rate)
            self._timer = self._loop.call_at(self._due_at, self._arrive)

    def report(self) -> dict[str, object]:
        """What was seen, and begin anew."""
        seen, self._seen = self._seen, Seen()
        return {
            "submits": seen.submits,
            "reads": seen.reads,
            "fetched": seen.fetched,
            "statuses": {str(status): count for status, count in seen.statuses.items()},
            "submit_p50": percentile(seen.submit_seconds, 0.5),
            "submit_p99": percentile(seen.submit_seconds, 0.99),
            "read_p50": percentile(seen.read_seconds, 0.5),
            "read_p99": percentile(seen.read_seconds, 0.99),
            "connections": self._client.connections,
        }

    def _arrive(self) -> None:
        now = self._loop.time()
        while self._due_at <= now:
            self._submit(self._due_at)
            self._due_at += self._rng.expovariate(self._rate)
        self._timer = self._loop.call_at(self._due_at, self._arrive)

    def _submit(self, due_at: float) -> None:
        self._number += 1
        key = self._keys[self._number % len(self._keys)]
        body = b'{"prompt":"%b","seed":%d,"steps":30}' % (PADDING.encode(), self._number)
        request = request_bytes("POST", f"/v2/{self._model}", host=self._host, key=key, body=body)

        def answered(status: int, answer: bytes) -> None:
            self._seen.submits += 1
            self._seen.statuses[status] += 1
            self._seen.submit_seconds.append(self._loop.time() - due_at)
            if status == 200:
                at = answer.index(b'"request_id":"') + 14
                job_id = answer[at : answer.index(b'"', at)].decode()
                self._loop.call_later(self._first_read_seconds, self._read, key, job_id)

        self._client.send(request, answered)

    def _read(self, key: str, job_id: str) -> None:
        request = request_bytes("GET", f"/v2/requests/{job_id}", host=self._host, key=key)
        began_at = self._loop.time()

        def answered(status: int, answer: bytes) -> None:
            self._seen.reads += 1
            self._seen.statuses[status] += 1
            self._seen.read_seconds.append(self._loop.time() - began_at)
            if status == 200 and not any(word in answer for word in _STILL_RUNNING):
                self._seen.fetched += 1
            elif status in (0, 200) or status >= 500:
                self._loop.call_later(self._next_read_seconds, self._read, key, job_id)

        self._client.send(request, answered)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    generator = Generator(json.loads(await lines.readline()))
    while line := await lines.readline():
        told = json.loads(line)
        if "rate" in told:
            generator.offer(told["rate"])
        print(json.dumps(generator.report() if told.get("report") else {}), flush=True)


if __name__ == "__main__":
    uvloop.run(_serve())
