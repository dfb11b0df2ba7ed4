"""Lost answers are resolved from the upstream's history: with real processes, and a simulator that loses what it has accepted."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.gateway import Gateway, ended, eventually
from tests.resolution.lost import (
    LOST,
    NEVER,
    assert_verified,
    attempt,
    caller,
    losing_gateway,
    submit,
    until_unknown,
    uuid,
)
from tests.servers import Urls

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
async def gateway(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    async with losing_gateway(servers, redis_url, tmp_path_factory.mktemp("lost")) as gateway:
        yield gateway


async def test_a_lost_answer_is_adopted(gateway: Gateway) -> None:
    async with caller(gateway) as client:
        async with gateway.faults({**LOST, "slug": "lost-one"}):
            jobs = [await submit(client, "lost-one", {"number": number}) for number in range(3)]
            await until_unknown(gateway, *jobs)
        for job in jobs:
            shown = await ended(client, job)
            assert shown["status"] == "COMPLETED", shown
            found = await attempt(gateway, job)
            assert (found["outcome"], found["resolution"]) == ("accepted", "adopted")
            assert found["resolved_after_seconds"] > 0
    await assert_verified(gateway)


async def test_twins_of_one_tenant_and_of_two(gateway: Gateway) -> None:
    async with caller(gateway) as one, caller(gateway) as two:
        async with gateway.faults({**LOST, "slug": "lost-twins"}, {**LOST, "slug": "lost-shared"}):
            twins = [await submit(one, "lost-twins", {"seed": 1}) for _ in range(3)]
            shared = [await submit(client, "lost-shared", {"seed": 1}) for client in (one, two)]
            await until_unknown(gateway, *twins, *shared)
        assert {(await ended(one, job))["status"] for job in twins} == {"COMPLETED"}
        ids = await gateway.sql(
            "SELECT DISTINCT upstream_id FROM jobs WHERE id = ANY ($1::uuid[])", [uuid(job) for job in twins]
        )
        assert len(ids) == 3
        await eventually(lambda: gateway.sql("SELECT FROM attempts WHERE contested AND job_id = $1", uuid(shared[0])))
        left = await gateway.sql("SELECT state FROM jobs WHERE id = ANY ($1::uuid[])", [uuid(job) for job in shared])
        assert {row["state"] for row in left} == {"unknown"}
        await gateway.sql("UPDATE jobs SET due_at = now() WHERE id = ANY ($1::uuid[])", [uuid(job) for job in shared])
        for client, job in zip((one, two), shared, strict=True):
            shown = await ended(client, job)
            assert (shown["status"], shown["error"]["code"]) == ("FAILED", "submission_unknown")
            assert (await attempt(gateway, job))["resolution"] == "timed_out"
        rows = await eventually(lambda: _unassigned(gateway, 2))
        assert all(row["amount"] > 0 for row in rows)
        jobs = [uuid(job) for job in shared]
        assert await gateway.sql("SELECT FROM exposures WHERE job_id = ANY ($1::uuid[])", jobs) == []
    await assert_verified(gateway)


async def _unassigned(gateway: Gateway, number: int) -> list[Any] | None:
    rows = await gateway.sql("SELECT * FROM exposures WHERE reason = 'unassigned'")
    return rows if len(rows) == number else None


async def test_what_never_arrived_is_proven_absent(gateway: Gateway) -> None:
    """Free at once, or sent once more where the tenant wants that; twenty later requests bear witness."""
    async with caller(gateway) as client:
        async with gateway.faults({**NEVER, "slug": "never-one"}, {**NEVER, "slug": "never-again", "count": 1}):
            ends = await submit(client, "never-one", {"number": 1})
            again = await submit(client, "never-again", {"number": 1}, on_unknown="resubmit")
            await until_unknown(gateway, ends, again)
            for number in range(25):
                await submit(client, "sim-instant", {"number": number})
            shown = await ended(client, ends)
            assert (shown["status"], shown["error"]["code"]) == ("FAILED", "submission_unknown")
            assert shown["credits"]["held"] == shown["credits"]["charged"] == "0.000000"
            assert (await attempt(gateway, ends))["resolution"] == "proven_absent"
            shown = await ended(client, again)
            assert (shown["status"], shown["attempt"]) == ("COMPLETED", 2)
            first = await gateway.sql("SELECT resolution FROM attempts WHERE job_id = $1 ORDER BY attempt", uuid(again))
            assert [row["resolution"] for row in first] == ["proven_absent", None]
        assert (
            await gateway.sql("SELECT FROM exposures WHERE job_id = ANY ($1::uuid[])", [uuid(ends), uuid(again)]) == []
        )
    await assert_verified(gateway)


async def test_a_request_that_is_later_than_all_before_it(gateway: Gateway) -> None:
    """The proof was wrong: the result can be read, the tenant pays nothing, and nothing is resubmitted from then on."""
    async with caller(gateway) as client:
        async with gateway.faults({**LOST, "slug": "late-one"}):
            await gateway.configure_upstream(history_late_probability=1.0, history_late_seconds=120.0)
            jobs = [await submit(client, "late-one", {"number": number}) for number in range(6)]
            again = [
                await submit(client, "late-one", {"number": number}, on_unknown="resubmit") for number in range(6, 12)
            ]
            await until_unknown(gateway, *jobs, *again)
            await gateway.configure_upstream(history_late_probability=0.0)
        for number in range(25):
            await submit(client, "sim-instant", {"number": number})
        statuses = [(await ended(client, job))["status"] for job in jobs]
        failed = [job for job, status in zip(jobs, statuses, strict=True) if status == "FAILED"]
        assert failed, "all six rows appeared before the proof"
        for job in failed:
            shown = await eventually(lambda job=job: _late(client, job))
            assert (shown["status"], shown["error"]["code"], shown["recovered"]) == (
                "FAILED",
                "submission_unknown",
                True,
            )
            assert shown["output"]
            [row] = await gateway.sql("SELECT cost_micro, charged_micro FROM jobs WHERE id = $1", uuid(job))
            assert row["cost_micro"] > row["charged_micro"] == 0
            exposed = await gateway.sql("SELECT sum(amount) AS amount FROM exposures WHERE job_id = $1", uuid(job))
            assert exposed[0]["amount"] == row["cost_micro"]
        assert await gateway.sql("SELECT FROM history_watch WHERE resubmits_refuted_at IS NOT NULL")
        assert {(await ended(client, job))["status"] for job in again} <= {"COMPLETED", "FAILED"}
        twice = await gateway.sql(
            "SELECT id FROM jobs WHERE id = ANY ($1::uuid[]) AND attempt = 2", [uuid(job) for job in again]
        )
        assert twice, "all six rows appeared before the proof"
        for row in twice:
            await eventually(lambda row=row: _second_start(gateway, row["id"]))
    await assert_verified(gateway)


async def _second_start(gateway: Gateway, job_id: UUID) -> bool:
    """Whether the first request of a job that was sent again is recorded, with its cost."""
    return bool(
        await gateway.sql(
            "SELECT FROM exposures WHERE job_id = $1 AND reason = 'second_start' AND upstream_id IN"
            " (SELECT upstream_id FROM upstream_observations WHERE job_id = $1)", job_id,
        )
    )  # fmt: skip


async def _late(client: httpx.AsyncClient, job: str) -> dict[str, Any] | None:
    found: dict[str, Any] = (await client.get(f"/api/v1/jobs/{job}")).json()
    return found if found["late_result"] else None


async def test_what_the_upstream_says_itself_evicts(gateway: Gateway) -> None:
    """Another job's answer names the adopted request: the result is withdrawn, its charge is returned, and the id passes."""
    async with caller(gateway) as loser, caller(gateway) as owner:
        async with gateway.faults({**LOST, "slug": "given-twice", "count": 1}):
            adopted = await submit(loser, "given-twice", {"number": 1})
            assert (await ended(loser, adopted))["status"] == "COMPLETED"
        [before] = await gateway.sql("SELECT upstream_id, charged_micro FROM jobs WHERE id = $1", uuid(adopted))
        assert before["charged_micro"] > 0
        async with gateway.faults({"match": "submit", "slug": "given-twice", "fault": "same_id", "count": 1}):
            owned = await submit(owner, "given-twice", {"number": 2})
            assert (await ended(owner, owned))["status"] == "COMPLETED"
        [now] = await gateway.sql(
            "SELECT upstream_id, charged_micro, withdrawn_at, state FROM jobs WHERE id = $1", uuid(adopted)
        )
        assert (now["upstream_id"], now["charged_micro"], now["state"]) == (None, 0, "completed")
        [row] = await gateway.sql("SELECT upstream_id FROM jobs WHERE id = $1", uuid(owned))
        assert row["upstream_id"] == before["upstream_id"]
        answer = await loser.get(f"/v2/requests/{adopted}")
        assert (answer.status_code, answer.json()["code"]) == (410, "result_withdrawn")
        assert (await owner.get(f"/v2/requests/{owned}")).status_code == 200
        returned = await gateway.sql(
            "SELECT sum(amount) AS amount FROM transfers WHERE job_id = $1 AND kind = 'adjust'", uuid(adopted)
        )
        assert returned[0]["amount"] == before["charged_micro"]
        assert await gateway.sql("SELECT FROM audit WHERE action = 'job.request_given_back' AND target = $1", adopted)
    await assert_verified(gateway)
