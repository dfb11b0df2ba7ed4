"""A gateway whose upstream loses answers, with a history that settles within seconds."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx

from app.ops.verify import prove as prove_invariants
from tests.gateway import Gateway, eventually, opened_gateway
from tests.servers import Urls, temporary_database

LOST = {"match": "submit", "fault": "lose_answer", "after": "header", "how": "close"}
NEVER = {"match": "submit", "fault": "close"}
SETTLE_SECONDS = 4.0


@asynccontextmanager
async def losing_gateway(servers: Urls, redis_url: str, directory: Path) -> AsyncIterator[Gateway]:
    """One of its own, since its simulator is changed."""
    async with temporary_database(servers.database, template=servers.template) as url:
        opened = opened_gateway(database_url=url, redis_url=redis_url, directory=directory, apis=1, speed=1000.0)
        async with opened as (gateway, [listener]):
            settings = {
                "UPSTREAM_HISTORY_URL": gateway.upstream_url,
                "HISTORY_SETTLE_SECONDS": str(SETTLE_SECONDS),
                "LOG_FORMAT": "json",
            }
            async with gateway.worker(**settings), gateway.api(listener, **settings):
                yield gateway


@asynccontextmanager
async def caller(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A tenant of its own."""
    tenant = await gateway.tenant()
    async with httpx.AsyncClient(base_url=gateway.url, headers=tenant.headers, timeout=60) as client:
        yield client


async def submit(client: httpx.AsyncClient, model: str, body: Mapping[str, Any], **more: Any) -> str:
    answer = await client.post("/api/v1/jobs", json={"model": model, "input": body, **more})
    assert answer.status_code == 202, answer.text
    shown: str = answer.json()["id"]
    return shown


def uuid(job: str) -> UUID:
    return UUID(job.removeprefix("job_"))


async def attempt(gateway: Gateway, job: str) -> dict[str, Any]:
    [row] = await gateway.sql("SELECT * FROM ops.attempts WHERE job_id = $1 ORDER BY attempt DESC LIMIT 1", uuid(job))
    return dict(row)


async def until_unknown(gateway: Gateway, *jobs: str) -> None:
    async def unknown() -> bool:
        rows = await gateway.sql(
            "SELECT FROM jobs WHERE id = ANY ($1::uuid[]) AND (state = 'unknown' OR attempt > 1 OR upstream_id IS NOT NULL"
            " OR finished_at IS NOT NULL)", [uuid(job) for job in jobs],
        )  # fmt: skip
        return len(rows) == len(jobs)

    await eventually(unknown)


async def assert_verified(gateway: Gateway) -> None:
    async with gateway.database.snapshot() as session:
        assert [proof.line async for proof in prove_invariants(session) if not proof.holds] == []
