"""Clients that hold connections open while releases are exchanged: waits for jobs, and the official SDK."""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.chaos.stack import Stack

WAIT_SECONDS = 5
"""Of one wait: within the grace of a process that ends."""
PATIENCE_SECONDS = 15
SDK_POLLERS = 6
SDK = """
import collections, json, sys, threading
from segmind import InferenceTimeout, SegmindClient
seen, over = collections.Counter(), threading.Event()

def poll(number):
    client = SegmindClient(base_url=BASE_URL)
    while not over.is_set():
        try:
            job = client.submit_async("sim-echo", echo={"marker": f"sdk-{number}-{seen.total()}-{id(object())}"})
            seen[job.wait(timeout=15, interval=0.3)["status"]] += 1
        except InferenceTimeout:
            seen["still running"] += 1
        except Exception as error:
            seen[type(error).__name__ + ": " + str(error)[:200]] += 1

threads = [threading.Thread(target=poll, args=(number,)) for number in range(POLLERS)]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
[thread.join() for thread in threads]
print(json.dumps(seen))
"""


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


class Sdk:
    """Threads of one program that submit with the SDK and poll to the end, again and again."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(cls, stack: Stack, directory: Path) -> "Sdk":
        """`directory`: where the SDK is installed."""
        script = SDK.replace("BASE_URL", repr(f"{stack.url}/v1")).replace("POLLERS", str(SDK_POLLERS))
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": str(directory), "SEGMIND_API_KEY": stack.api_key}
        return cls(
            await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=environment, stdin=pipe, stdout=pipe)
        )

    async def end(self) -> dict[str, int]:
        """Let each come to the end of its job; how often each answer came."""
        output, _ = await asyncio.wait_for(self._process.communicate(b""), 120)
        seen: dict[str, int] = json.loads(output)
        return seen

    def kill(self) -> None:
        """Of a test that failed."""
        if self._process.returncode is None:
            self._process.kill()
