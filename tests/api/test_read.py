"""`GET /api/v1/jobs…`: waiting for an end, pages, filters."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.api.conftest import Job, NewJob, assert_problem
from tests.gateway import Gateway, TenantKey
from tests.stopwatch import Stopwatch

URL = "/api/v1/jobs"


async def test_a_wait_is_woken_by_push(stack: Gateway, client: httpx.AsyncClient, new_job: NewJob) -> None:
    """Whoever waits, on whichever process, hears of the end within 150 ms of its commit."""
    late = []
    for _ in range(5):
        job = await new_job()
        waits = [asyncio.create_task(client.get(f"{url}{URL}/{job['id']}?wait=30")) for url in stack.urls]
        await asyncio.sleep(0.2)
        assert (await client.post(f"{URL}/{job['id']}/cancel")).status_code == 200
        watch = Stopwatch()
        for wait in waits:
            answer = await wait
            assert answer.json()["status"] == "CANCELED"
        late.append(watch.own_seconds)
    assert sorted(late)[len(late) // 2] < 0.15, late


async def test_a_wait_ends_on_time(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job()
    watch = Stopwatch()
    answer = await client.get(f"{URL}/{job['id']}?wait=0.5")
    assert answer.json()["status"] == "QUEUED"
    assert watch.seconds >= 0.5
    assert watch.own_seconds < 2


@pytest.mark.parametrize("wait", ["x", "-1", "NaN", "", "1e3", "9" * 5_000])
async def test_a_wait_that_is_none(client: httpx.AsyncClient, new_job: NewJob, wait: str) -> None:
    job = await new_job()
    answer = await client.get(f"{URL}/{job['id']}", params={"wait": wait})
    assert assert_problem(answer, 400, "invalid_request")["errors"][0]["path"] == "query wait"


async def test_a_finished_job_does_not_wait(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job()
    await client.post(f"{URL}/{job['id']}/cancel")
    watch = Stopwatch()
    assert (await client.get(f"{URL}/{job['id']}?wait=30")).json()["status"] == "CANCELED"
    assert watch.own_seconds < 2


async def pages(client: httpx.AsyncClient, **params: Any) -> list[list[Job]]:
    """All pages of a list."""
    found: list[list[Job]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await client.get(URL, params={**params, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert set(page) == {"items", "next_cursor"}
        found.append(page["items"])
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_pages_are_stable_under_inserts(client: httpx.AsyncClient, new_job: NewJob) -> None:
    made = [(await new_job())["id"] for _ in range(7)]
    first = (await client.get(URL, params={"limit": 3})).json()
    assert [job["id"] for job in first["items"]] == made[:3:-1]
    await asyncio.gather(*(new_job() for _ in range(4)))
    second = (await client.get(URL, params={"limit": 3, "cursor": first["next_cursor"]})).json()
    third = (await client.get(URL, params={"limit": 3, "cursor": second["next_cursor"]})).json()
    assert [job["id"] for job in second["items"] + third["items"]] == made[3::-1]
    assert third["next_cursor"] is None
    assert [len(page) for page in await pages(client, limit=4)] == [4, 4, 3]
    assert [len(page) for page in await pages(client, limit=11)] == [11]
    assert [len(page) for page in await pages(client)] == [11]


async def test_items_are_jobs_without_input_and_output(client: httpx.AsyncClient, new_job: NewJob) -> None:
    job = await new_job(metadata={"k": 1})
    ((item,),) = await pages(client)
    assert item.keys() == job.keys() - {"input", "output", "output_lossy"}
    assert all(item[key] == job[key] for key in item.keys() - {"eta", "position"})


async def test_filters(client: httpx.AsyncClient, new_job: NewJob) -> None:
    one = await new_job("sim-instant", metadata={"team": "a", "n": 1, "ok": True, "none": None})
    two = await new_job("sim-video", metadata={"team": "b", "n": 1.5})
    three = await new_job("sim-video", metadata={"team": "a"})
    await client.post(f"{URL}/{three['id']}/cancel")

    async def ids(**params: str) -> set[str]:
        return {job["id"] for page in await pages(client, limit=1, **params) for job in page}

    assert await ids(status="QUEUED") == {one["id"], two["id"]}
    assert await ids(status="CANCELED") == {three["id"]}
    assert await ids(status="COMPLETED") == set()
    assert await ids(model="sim-video") == {two["id"], three["id"]}
    assert await ids(model="sim-video", status="QUEUED") == {two["id"]}
    assert await ids(**{"metadata.team": "a"}) == {one["id"], three["id"]}
    assert await ids(**{"metadata.team": "a", "metadata.n": "1"}) == {one["id"]}
    assert await ids(**{"metadata.ok": "true"}) == {one["id"]}
    assert await ids(**{"metadata.n": "1.5"}) == {two["id"]}
    assert await ids(**{"metadata.none": "null"}) == set()
    assert await ids(**{"metadata.never": "x"}) == set()
    assert await ids(created_after=two["created_at"]) >= {three["id"]}
    assert one["id"] not in await ids(created_after=two["created_at"])
    assert await ids(created_before=two["created_at"]) == {one["id"]}
    assert await ids(created_after="2999-01-01T00:00:00Z") == set()
    assert await ids(created_before="2026-01-01T00:00:00+05:30") == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("status", "queued"),
        ("status", ""),
        ("limit", "0"),
        ("limit", "201"),
        ("limit", "-1"),
        ("limit", "1.0"),
        ("limit", "9" * 5_000),
        ("limit", "²"),
        ("cursor", "x"),
        ("cursor", "\0"),
        ("cursor", ""),
        ("created_after", "yesterday"),
        ("created_after", "2026-01-01T00:00:00"),
        ("created_before", "0001-01-01T00:00:00+23:59"),
        ("created_before", "\0"),
        ("model", "\0"),
        ("metadata.k", "\0"),
        ("metadata.\0", "x"),
    ],
)
async def test_filters_that_are_none(client: httpx.AsyncClient, name: str, value: str) -> None:
    answer = await client.get(URL, params={name: value})
    body = assert_problem(answer, 400, "invalid_request")
    assert body["errors"][0]["path"].startswith(f"query {name.rstrip(chr(0))}")


async def test_more_metadata_than_a_job_can_have(client: httpx.AsyncClient) -> None:
    answer = await client.get(URL, params={f"metadata.k{number}": "x" for number in range(51)})
    assert assert_problem(answer, 400, "invalid_request")["errors"][0]["path"] == "query metadata"
    assert (await client.get(URL, params={f"metadata.k{number}": "x" for number in range(50)})).json()["items"] == []


async def test_what_can_match_nothing(client: httpx.AsyncClient, new_job: NewJob) -> None:
    await new_job()
    assert await pages(client, model="no such model é😀") == [[]]
    assert await pages(client, **{"metadata.é": "😀"}) == [[]]


async def test_reading_needs_the_scope(stack: Gateway, tenant: TenantKey) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as stranger:
        for path in (URL, f"{URL}/job_{'0' * 32}"):
            assert_problem(await stranger.get(path), 401, "unauthorized")
