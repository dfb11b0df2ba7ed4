"""A tenant that behaves: it submits at a steady rate, whatever comes back, and measures what it sees."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final
from uuid import uuid4

import httpx
import orjson

from app.core.http import open_client
from tests.chaos.hostile.upstream import SHARED_MODEL
from tests.chaos.stack import Stack

HEALTHY_MODELS: Final = ("healthy-model", SHARED_MODEL)
BURST: Final = 200
RETRY_SECONDS: Final = 0.2


@dataclass(slots=True)
class Submitted:
    """One submit of the healthy tenant; seconds from its first byte until it was answered, and until its job had ended."""

    status: int | str = "none"
    submit_seconds: float = 0.0
    job_seconds: float | None = None
    ended: str | None = None


@dataclass(slots=True)
class Seen:
    """What the healthy tenant saw in all the times of one kind."""

    submits: list[Submitted] = field(default_factory=list)

    def statuses(self) -> dict[int | str, int]:
        return dict(Counter(one.status for one in self.submits))

    def ends(self) -> dict[str | None, int]:
        return dict(Counter(one.ended for one in self.submits))

    def submit_seconds(self, share: float) -> float:
        """The quantile of the seconds until a submit is answered."""
        return quantile([one.submit_seconds for one in self.submits], share)

    def job_seconds(self, share: float, *, otherwise: float) -> float:
        """The quantile of the seconds until a job is known to have ended; one that is not counts as `otherwise`."""
        return quantile([otherwise if (s := one.job_seconds) is None else s for one in self.submits], share)


def quantile(values: Iterable[float], share: float) -> float:
    """The value at that place in the order, 0 to 1; NaN where there is none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else float("nan")


class Healthy:
    """Submits at a steady rate whatever comes back, and waits for the end of each job, at most `give_up_seconds`."""

    def __init__(self, stack: Stack, key: str, *, give_up_seconds: float) -> None:
        self._url, self.give_up_seconds = stack.url, give_up_seconds
        self._headers = {"x-api-key": key, "content-type": "application/json"}
        self._models = cycle(HEALTHY_MODELS)
        self._client = open_client(
            connections_max=4_000,
            keep_alive=True,
            connect_seconds=30,
            read_seconds=90,
            total_seconds=90,
            body_bytes_max=1_000_000,
            idle_seconds=3,  # before the server does it
        )

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def run(self, seen: Seen, *, seconds: float, per_second: float) -> None:
        """For so long; return when every job has ended or was given up."""
        began_at = time.monotonic()
        tasks = []
        for number in range(round(seconds * per_second)):
            await asyncio.sleep(began_at + number / per_second - time.monotonic())
            one = Submitted()
            seen.submits.append(one)
            tasks.append(asyncio.create_task(self._submit(one)))
        await asyncio.gather(*tasks)

    async def warm_up(self, seen: Seen) -> None:
        """A burst of submits and of reads, after which the stack has every connection open that it may ever need."""
        bursts = [Submitted() for _ in range(BURST)]
        seen.submits += bursts
        lists = (self._client.get(f"{self._url}/api/v1/jobs?limit=200", headers=self._headers) for _ in range(BURST))
        answers = await asyncio.gather(*lists, *map(self._submit, bursts))
        assert all(answer.status_code == 200 for answer in answers if answer is not None)

    async def _submit(self, one: Submitted) -> None:
        began_at = time.monotonic()
        body = orjson.dumps({"model": next(self._models), "input": {"prompt": uuid4().hex}})
        try:
            answer = await self._client.post(f"{self._url}/api/v1/jobs", content=body, headers=self._headers)
            one.status = answer.status_code
        except httpx.TransportError as error:
            one.status = type(error).__name__
            return
        finally:
            one.submit_seconds = time.monotonic() - began_at
        if one.status != 202:
            return
        path = f"{self._url}/api/v1/jobs/{answer.json()['id']}?wait=30"
        while one.ended is None and (left := began_at + self.give_up_seconds - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    answer = await self._client.get(path, headers=self._headers)
            except (httpx.TransportError, TimeoutError):
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status_code != 200:
                one.ended = f"a read was answered {answer.status_code}"
            elif (status := answer.json()["status"]) not in ("QUEUED", "PROCESSING"):
                one.ended, one.job_seconds = status, time.monotonic() - began_at
