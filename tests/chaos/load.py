"""A client under which things break: submits at a steady rate, and remembers exactly what it was told.

marker: a string in the input of one submit and of no other, by which its job, and its run upstream, are found again.
told: what the client knows: `acknowledged` (with an id), `refused` (a status that says nothing was stored), `lost`
(no answer, or one that says it may be stored).
"""

import asyncio
import hashlib
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from uuid import uuid4

import httpx
import orjson

from app.http_client.caller import Caller, Limits
from tests.chaos.stack import Stack

IN_DOUBT = "store_in_doubt"
RETRY_SECONDS = 0.2
GIVE_UP_SECONDS = 120.0
GIVE_UP_TRIES = 20
"""A submit is repeated for so long, and so often: where the whole machine stands still, time alone says nothing."""
ANSWER_SECONDS = 90.0
MODEL = "sim-echo"
CUT = frozenset(
    {"connect_refused", "connect_failed", "closed_before_send", "closed_without_answer", "connection_reset"}
)
"""What a client finds whose connection was closed, or closing."""
CUT_WITHIN = frozenset({"half_head", "half_body", "bad_answer"})
"""What it finds where that was within the answer."""


@dataclass(slots=True)
class Submit:
    """One submit of the client, told by its marker."""

    marker: str
    model: str
    key: str | None
    told: str = "lost"
    request_id: str | None = None
    tries: int = 0
    statuses: list[int | str] = field(default_factory=list)
    seconds: float = 0.0


def echo(marker: str) -> bytes:
    """The input of a job that gives its marker back."""
    return orjson.dumps({"echo": {"marker": marker}})


class Load:
    """Submits to one stack. A submit with an idempotency key is repeated until it is acknowledged; one without never.

    tolerated: statuses that leave open whether the job was stored, beside what the contract allows.
    """

    def __init__(self, stack: Stack, *, seed: int) -> None:
        self.submits: list[Submit] = []
        self.tolerated: set[int] = set()
        self._stack = stack
        self._url, self._api_key = stack.url, stack.api_key
        self._chance = random.Random(seed)
        # httpx's own pool is quadratic in what waits for it: the load would come to a halt where the stack does
        limits = Limits(ANSWER_SECONDS, ANSWER_SECONDS, ANSWER_SECONDS, 1_000_000)
        self._caller = Caller(
            stack.url, headers={"x-api-key": stack.api_key}, connections_max=200, keep_alive=True, limits=limits
        )

    async def aclose(self) -> None:
        """Hang up."""
        await self._caller.close()

    async def submit(self, *, model: str = MODEL, keyed: bool = True) -> Submit:
        """One submit to its end."""
        marker = f"m-{uuid4().hex}"
        submit = Submit(marker, model, f"k-{marker}" if keyed else None)
        self.submits.append(submit)
        await self._carry_out(submit)
        return submit

    async def submit_many(self, count: int, *, model: str = MODEL, keyed: bool = True) -> list[Submit]:
        """So many at once; all are acknowledged."""
        submits = await asyncio.gather(*(self.submit(model=model, keyed=keyed) for _ in range(count)))
        refused = [
            (submit.told, submit.tries, submit.statuses[-5:]) for submit in submits if submit.told != "acknowledged"
        ]
        assert not refused, f"submits were not acknowledged within {GIVE_UP_SECONDS:g} s: {refused}"
        return list(submits)

    async def run(self, *, seconds: float, per_second: float, keyed: float = 0.5) -> None:
        """Submit at that rate for so long, a share of them with keys; return when all have come to their end."""
        tasks: list[asyncio.Task[Submit]] = []
        began_at = time.monotonic()
        while (elapsed := time.monotonic() - began_at) < seconds:
            while len(tasks) < elapsed * per_second:
                tasks.append(asyncio.create_task(self.submit(keyed=self._chance.random() < keyed)))
            await asyncio.sleep(0.2 / per_second)
        await asyncio.gather(*tasks)

    async def read(self, *, seconds: float, per_second: float) -> list[float]:
        """Ask for acknowledged jobs at that rate for so long: each is answered; the seconds each answer took."""
        took: list[float] = []
        until_at = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=60, headers={"x-api-key": self._api_key}) as client:
            while time.monotonic() < until_at:
                await asyncio.sleep(1 / per_second)
                known = [submit.request_id for submit in self.submits if submit.request_id is not None]
                if not known:
                    continue
                asked_at = time.monotonic()
                answer = await client.get(f"{self._url}/v2/requests/{self._chance.choice(known)}/status")
                took.append(time.monotonic() - asked_at)
                assert answer.status_code in (200, 422), f"a read was answered {answer.status_code}: {answer.text}"
        return took

    async def _carry_out(self, submit: Submit) -> None:
        began_at = time.monotonic()
        while True:
            submit.tries += 1
            submit.told = await self._ask(submit)
            submit.seconds = time.monotonic() - began_at
            if submit.told == "acknowledged" or submit.key is None:
                return
            if submit.seconds > GIVE_UP_SECONDS and submit.tries >= GIVE_UP_TRIES:
                return
            await asyncio.sleep(RETRY_SECONDS * self._chance.uniform(0.5, 1.5))

    async def _ask(self, submit: Submit) -> str:
        headers = {} if submit.key is None else {"idempotency-key": submit.key}
        called = await self._caller.call("POST", f"/v2/{submit.model}", body=echo(submit.marker), headers=headers)
        if called.failure is not None:
            submit.statuses.append(called.failure)
            return "lost" if called.sent else "refused"
        status, answer = called.status_code, called.body
        assert status is not None
        submit.statuses.append(status)
        if status == 200:
            submit.request_id = orjson.loads(answer)["request_id"]
            return "acknowledged"
        if status in self.tolerated:
            return "lost"
        assert status == 503, f"a submit must be stored or get 503, not {status}: {answer!r}"
        return "lost" if orjson.loads(answer)["code"] == IN_DOUBT else "refused"

    def hashes(self) -> dict[str, Submit]:
        """Its submits by the SHA-256 of their bodies, as the upstream's book has them."""
        return {hashlib.sha256(echo(submit.marker)).hexdigest(): submit for submit in self.submits}

    def figures(self) -> dict[str, object]:
        """What the client saw, for the log."""
        told = Counter(submit.told for submit in self.submits)
        statuses = Counter(status for submit in self.submits for status in submit.statuses)
        slowest = max((submit.seconds for submit in self.submits), default=0.0)
        return {**told, "statuses": dict(statuses), "slowest_seconds": round(slowest, 2)}
