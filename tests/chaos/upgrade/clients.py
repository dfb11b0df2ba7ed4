"""Clients that hold connections open while releases are exchanged: waits for jobs."""

import asyncio
import time
from collections import Counter

import httpx

from tests.chaos.stack import Stack

WAIT_SECONDS = 5
"""Of one wait: within the grace of a process that ends."""
PATIENCE_SECONDS = 15


class Waiting:
    """Submits a job and waits for its end, again and again, in so many tasks; `seen` counts what was answered."""

    def __init__(self, stack: Stack, *, clients: int) -> None:
        self.seen: Counter[str] = Counter()
        self._stack = stack
        self._over = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run(number)) for number in range(clients)]

    async def end(self) -> None:
        """Let each come to the end of its job."""
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Of a test that failed."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, number: int) -> None:
        headers = {"x-api-key": self._stack.api_key, "prefer": f"wait={WAIT_SECONDS}"}
        async with httpx.AsyncClient(base_url=self._stack.url, headers=headers, timeout=60) as client:
            for turn in range(1_000_000):
                if self._over.is_set():
                    return
                await self._one(client, f"wait-{number}-{turn}")

    async def _one(self, client: httpx.AsyncClient, marker: str) -> None:
        body = {"model": "sim-echo", "input": {"echo": {"marker": marker}}}
        key = {"idempotency-key": marker}
        job = await self._asked(client, "POST", "/api/v1/jobs", json=body, headers=key)
        until_at = time.monotonic() + PATIENCE_SECONDS  # a job whose worker was killed while it sent may stay unknown
        while job["status"] not in ("COMPLETED", "FAILED", "CANCELED"):
            if time.monotonic() > until_at:
                self.seen["still running"] += 1
                return
            job = await self._asked(client, "GET", f"/api/v1/jobs/{job['id']}?wait={WAIT_SECONDS}")
        self.seen[str(job["status"])] += 1

    async def _asked(self, client: httpx.AsyncClient, method: str, url: str, **request: object) -> dict[str, object]:
        """The job, asked for again where the connection ended; anything else that is no success is remembered."""
        while True:
            try:
                answer = await client.request(method, url, **request)  # type: ignore[arg-type]
            except httpx.TransportError as error:
                self.seen[type(error).__name__] += 1
                continue
            if answer.is_success:
                job: dict[str, object] = answer.json()
                return job
            self.seen[f"{answer.status_code} {answer.text[:200]}"] += 1
            await asyncio.sleep(0.2)
