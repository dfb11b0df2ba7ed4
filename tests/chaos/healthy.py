"""A tenant that behaves: it submits at a steady rate, whatever comes back, and measures what it sees."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final
from uuid import uuid4

import orjson

from app.http_client.caller import Caller, Limits
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
        self.give_up_seconds = give_up_seconds
        self._models = cycle(HEALTHY_MODELS)
        self._caller = Caller(
            stack.url,
            headers={"x-api-key": key},
            connections_max=4_000,
            keep_alive=True,
            limits=Limits(30, 90, 90, 1_000_000),
            idle_seconds=3,  # before the server does it
        )

    async def aclose(self) -> None:
        """Hang up."""
        await self._caller.close()

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
        lists = (self._caller.call("GET", "/api/v1/jobs?limit=200") for _ in range(BURST))
        answers = await asyncio.gather(*lists, *map(self._submit, bursts))
        assert all(answer.status_code == 200 for answer in answers if answer is not None)

    async def _submit(self, one: Submitted) -> None:
        began_at = time.monotonic()
        body = orjson.dumps({"model": next(self._models), "input": {"prompt": uuid4().hex}})
        answer = await self._caller.call("POST", "/api/v1/jobs", body=body)
        one.status = answer.failure or answer.status_code or "none"
        one.submit_seconds = time.monotonic() - began_at
        if one.status != 202:
            return
        path = f"/api/v1/jobs/{orjson.loads(answer.body)['id']}?wait=30"
        while one.ended is None and (left := began_at + self.give_up_seconds - time.monotonic()) > 0:
            answer = await self._caller.call("GET", path, limits=Limits(30, left, left, 1_000_000))
            if answer.failure is not None:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if answer.status_code != 200:
                one.ended = f"a read was answered {answer.status_code}"
            elif (status := orjson.loads(answer.body)["status"]) not in ("QUEUED", "PROCESSING"):
                one.ended, one.job_seconds = status, time.monotonic() - began_at
