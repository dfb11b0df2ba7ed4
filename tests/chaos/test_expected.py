"""What is expected of jobs happens as often as it claims: real processes, models that scatter, lines behind a limit.

The long form is 2,000 jobs and takes some three minutes.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.core import clock
from tests.chaos.form import Form
from tests.conftest import NewDatabase
from tests.gateway import Gateway, TenantKey, eventually, running_gateway

MODELS = ("ai-product-photo-editor", "svd", "ltx-2-pro")
"""About 16, 30 and 70 seconds; the simulator scatters them with a sigma of 0.3."""
URL = "/api/v1/jobs"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was expected of a job at one look, and of which kind that was."""

    job_id: str
    kind: str
    p50: datetime
    p90: datetime


@pytest.fixture
async def gateway(form: Form, new_database: NewDatabase, redis_url: str, tmp_path: Path) -> AsyncIterator[Gateway]:
    speed = form.pick(short=30.0, long=8.0)
    async with running_gateway(
        database_url=await new_database(), redis_url=redis_url, directory=tmp_path, speed=speed
    ) as made:
        # what is published is as fast as this upstream
        await made.sql("UPDATE models SET run_seconds = run_seconds / $1::float8", speed)
        yield made


class Asker:
    """Submits jobs and looks at them, on either process, as clients do."""

    def __init__(self, gateway: Gateway, chance: random.Random) -> None:
        self.gateway = gateway
        self.chance = chance
        self.seen: list[Seen] = []
        # connections are given up before the server does, which may be just when they are used again
        self._client = httpx.AsyncClient(timeout=60, limits=httpx.Limits(keepalive_expiry=2))
        self._turns = asyncio.Semaphore(16)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def submit(self, tenant: TenantKey) -> dict[str, Any]:
        body = {"model": self.chance.choice(MODELS), "input": {}}
        async with self._turns:
            answer = await self._client.post(self._at(URL), json=body, headers=tenant.headers)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    async def follow(self, tenant: TenantKey, *, after_seconds: float) -> None:
        """Submit a job, look at it at once, and once more at an instant that knows nothing of its own run time."""
        await asyncio.sleep(after_seconds)
        job = await self.submit(tenant)
        first = await self.look(tenant, job["id"], first=True)
        if first is not None:
            left = (first.p50 - clock.now()).total_seconds()
            await asyncio.sleep(max(0.0, self.chance.uniform(0, 1.5) * left))
            await self.look(tenant, job["id"])

    async def look(self, tenant: TenantKey, job_id: str, *, first: bool = False) -> Seen | None:
        async with self._turns:
            answer = await self._client.get(self._at(f"{URL}/{job_id}"), headers=tenant.headers)
        job = answer.json()
        if job["eta"] is None:
            return None
        kind = "submitted" if first else {"QUEUED": "in line", "PROCESSING": "running"}[job["status"]]
        seen = Seen(job_id, kind, *(datetime.fromisoformat(job["eta"][name]) for name in ("p50", "p90")))
        self.seen.append(seen)
        return seen

    def _at(self, path: str) -> str:
        return self.chance.choice(self.gateway.urls) + path


async def a_tenant(gateway: Gateway, *, max_in_flight: int) -> TenantKey:
    tenant = await gateway.tenant(credits_micro=10**12)
    await gateway.sql(
        "UPDATE tenants SET max_in_flight = $2, rate_per_minute = 1000000, burst = 100000 WHERE id = $1",
        tenant.id,
        max_in_flight,
    )
    return tenant


async def all_ended(gateway: Gateway) -> bool:
    return not await gateway.sql("SELECT FROM jobs WHERE finished_at IS NULL LIMIT 1")


async def coverage(gateway: Gateway, seen: list[Seen]) -> dict[str, tuple[int, float, float]]:
    """Of each kind of look: how many, and how often the job had ended by p50 and by p90."""
    rows = await gateway.sql("SELECT id, finished_at FROM jobs WHERE finished_at IS NOT NULL")
    ended: dict[UUID, datetime] = {row["id"]: row["finished_at"] for row in rows}
    kinds: defaultdict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for one in seen:
        at = ended[UUID(one.job_id.removeprefix("job_"))]
        kinds[one.kind].append((at <= one.p50, at <= one.p90))
    return {
        kind: (len(hits), sum(p50 for p50, _ in hits) / len(hits), sum(p90 for _, p90 in hits) / len(hits))
        for kind, hits in kinds.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_bands_cover_what_they_claim(form: Form, gateway: Gateway) -> None:
    asker = Asker(gateway, form.chance())
    roomy = [await a_tenant(gateway, max_in_flight=1_000) for _ in range(4)]
    crowded = [await a_tenant(gateway, max_in_flight=4) for _ in range(form.pick(short=4, long=25))]
    for _ in range(form.pick(short=60, long=300)):
        await asker.submit(asker.chance.choice(roomy))
    await eventually(lambda: all_ended(gateway), gap_seconds=0.5)

    seconds, jobs, line = form.pick(short=(8.0, 80, 16), long=(90.0, 1_000, 40))
    arrivals = [(asker.chance.choice(roomy), asker.chance.uniform(0, seconds)) for _ in range(jobs)]
    for tenant in crowded:
        came = asker.chance.uniform(0, seconds / 2)
        arrivals += [(tenant, came + asker.chance.uniform(0, 1)) for _ in range(line)]
    await asyncio.gather(*(asker.follow(tenant, after_seconds=after) for tenant, after in arrivals))
    await eventually(lambda: all_ended(gateway), seconds=200, gap_seconds=0.5)
    await asker.aclose()

    found = await coverage(gateway, asker.seen)
    for kind, (number, p50, p90) in found.items():
        print(f"{kind}: {number} jobs, p50 {p50:.1%}, p90 {p90:.1%}, band {p90 - p50:.1%}")
    assert found["submitted"][0] >= form.pick(short=15, long=len(arrivals) // 2), (
        "the others had ended before they could be looked at"
    )
    for kind in ("submitted", "running"):
        _, p50, p90 = found[kind]
        low, high = form.pick(short=(0.2, 0.8), long=(0.45, 0.55))
        assert low <= p50 <= high, kind
        low, high = form.pick(short=(0.6, 1.0), long=(0.85, 0.95))
        assert low <= p90 <= high, kind
        if form.long:
            assert 0.35 <= p90 - p50 <= 0.45, kind
