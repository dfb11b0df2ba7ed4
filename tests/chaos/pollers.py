"""Pollers with the official SDK: threads of one program that submit a job and poll to its end, again and again.

They wait longer for an answer than the SDK does by default (30 s): a busy machine may not run a gateway for so long.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from tests.chaos.stack import Stack

SCRIPT = """
import collections, json, sys, threading
from segmind import InferenceTimeout, SegmindClient
seen, over = collections.Counter(), threading.Event()

def poll(number):
    client = SegmindClient(base_url=BASE_URL, timeout=240)
    while not over.is_set():
        try:
            job = client.submit_async(SUBMIT)
            seen[job.wait(timeout=WAIT_SECONDS, interval=0.3)["status"]] += 1
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


class SdkPollers:
    """One such program, while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def started(
        cls, stack: Stack, directory: Path, *, pollers: int, submit: str, wait_seconds: int
    ) -> "SdkPollers":
        """`directory`: where the SDK is installed. `submit`: the arguments of `submit_async`, as source that knows the thread's
        `number` and what it has `seen`. `wait_seconds`: of one wait for a job."""
        script = SCRIPT.replace("BASE_URL", repr(f"{stack.url}/v1")).replace("POLLERS", str(pollers))
        script = script.replace("SUBMIT", submit).replace("WAIT_SECONDS", str(wait_seconds))
        pipe = asyncio.subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": str(directory), "SEGMIND_API_KEY": stack.api_key}
        return cls(
            await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=environment, stdin=pipe, stdout=pipe)
        )

    async def end(self, *, seconds: float) -> dict[str, int]:
        """Let each come to the end of its job, within so long; how often each answer came."""
        output, _ = await asyncio.wait_for(self._process.communicate(b""), seconds)
        seen: dict[str, int] = json.loads(output)
        return seen

    def kill(self) -> None:
        """Of a test that failed."""
        if self._process.returncode is None:
            self._process.kill()
