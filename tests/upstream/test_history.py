"""The history and the account asked over real sockets: the simulator's, and servers that misbehave."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from app.core import clock
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator
from app.upstream.account import AccountClient, UpstreamCredits
from app.upstream.history import HistoryClient
from app.upstream.history_rows import HistoryRow
from app.upstream.readings import NotRead
from tests.doubles.raw_server import Script, answer, in_full, raw_server

KEY = "SG_3ec0a235721add59"
DAY = timedelta(days=1)


@contextlib.asynccontextmanager
async def history_of(url: str, **given: float) -> AsyncIterator[HistoryClient]:
    client = HistoryClient(url=url, api_key=KEY, pause_seconds=0.01, page_seconds=5, **given)  # type: ignore[arg-type]
    try:
        yield client
    finally:
        await client.close()


@pytest.fixture
async def sim() -> AsyncIterator[RunningSimulator]:
    async with running_simulator(SimulatorConfig(speed=1000, seed=7, api_keys=(KEY,))) as running:
        yield running


@pytest.fixture
async def history(sim: RunningSimulator) -> AsyncIterator[HistoryClient]:
    async with history_of(sim.url) as client:
        yield client


async def submitted(sim: RunningSimulator, slug: str = "sim-instant", number: int = 1) -> list[str]:
    async with httpx.AsyncClient(base_url=sim.url, headers={"x-api-key": KEY}, timeout=60) as client:
        return [
            (await client.post(f"/v2/{slug}", json={"number": at})).raise_for_status().json()["request_id"]
            for at in range(number)
        ]


async def everything(history: HistoryClient, days: int = 0) -> list[HistoryRow]:
    now = clock.now()
    return [row async for page in history.read(since=now - days * DAY, until=now) for row in page.rows]


async def test_every_page_oldest_first(sim: RunningSimulator, history: HistoryClient) -> None:
    ids = await submitted(sim, number=230)
    assert [row.upstream_id for row in await everything(history)] == ids
    assert sim.stats.show()["requests"]["history"] == 3
    row = (await everything(history))[-1]
    assert (row.model, row.status, row.body) == ("sim-instant", "COMPLETED", {"number": 229})
    assert row.cost_micro == sim.book.charged()[ids[-1]]


async def test_a_window_longer_than_the_upstream_answers(sim: RunningSimulator, history: HistoryClient) -> None:
    ids = await submitted(sim, number=3)
    assert [row.upstream_id for row in await everything(history, days=40)] == ids


async def test_a_request_with_several_outputs(sim: RunningSimulator, history: HistoryClient) -> None:
    [upstream_id] = await submitted(sim, "sim-images")
    for _ in range(200):
        found = await history.find(upstream_id)
        if found is not None and found.ended:
            break
        await asyncio.sleep(0.01)
    assert [(row.upstream_id, row.cost_micro) for row in await everything(history)] == [
        (upstream_id, sim.book.charged()[upstream_id])
    ] * 3


async def test_one_request(sim: RunningSimulator, history: HistoryClient) -> None:
    [upstream_id] = await submitted(sim)
    assert await history.find("0" * 32) is None
    sim.config.history_lag_seconds = 100
    assert await history.find(upstream_id) is None
    sim.config.history_lag_seconds = 0
    sim.config.history_cost_lag_seconds = 100
    found = await history.find(upstream_id)
    assert found is not None
    assert (found.upstream_id, found.cost_micro) == (upstream_id, None)


async def test_a_history_that_is_briefly_away_is_asked_again(sim: RunningSimulator, history: HistoryClient) -> None:
    ids = await submitted(sim)
    sim.set_faults({"match": "history", "fault": "answer", "status": 503, "html": True, "nth": 1, "count": 3})
    assert [row.upstream_id for row in await everything(history)] == ids
    sim.set_faults({"match": "history", "fault": "answer", "status": 503, "html": True})
    with pytest.raises(NotRead, match="http_503"):
        await everything(history)
    sim.set_faults({"match": "history", "fault": "answer", "status": 401})
    with pytest.raises(NotRead, match="http_401"):
        await everything(history)
    assert sim.stats.show()["requests"]["history"] == 4 + 4 + 1


async def test_costs_left_out_on_demand(sim: RunningSimulator, history: HistoryClient) -> None:
    sim.set_faults({"match": "any", "fault": "no_cost"})
    [upstream_id] = await submitted(sim)
    assert [row.cost_micro for row in await everything(history)] == [None]
    async with httpx.AsyncClient(base_url=sim.url, headers={"x-api-key": KEY}, timeout=60) as client:
        for path in (f"/v2/requests/{upstream_id}/status", f"/v2/requests/{upstream_id}"):
            metrics = (await client.get(path)).json()["metrics"]
            assert set(metrics) == {"inference_time", "queue_time", "total_time"}


async def test_pages_too_large_are_asked_for_in_smaller_ones(sim: RunningSimulator) -> None:
    ids = await submitted(sim, number=25)
    async with history_of(sim.url, page_bytes_max=5_000) as history:
        found = [row.upstream_id for row in await everything(history)]
    assert list(dict.fromkeys(found)) == ids


def always(*rows: object) -> Script:
    return in_full(*[answer(json.dumps({"data": rows, "next_page": 7}).encode())] * 30)


async def test_a_server_that_repeats_itself_is_not_read_for_ever() -> None:
    script = always({"request_id": "a"}, {"request_id": "b"})
    async with raw_server(script) as server, history_of(server.url) as history:
        with pytest.raises(NotRead, match="page_repeated"):
            await everything(history)


async def test_an_answer_about_another_request_is_not_believed() -> None:
    script = in_full(answer(json.dumps({"data": [{"request_id": "b"}]}).encode()))
    async with raw_server(script) as server, history_of(server.url) as history:
        with pytest.raises(NotRead, match="another_request"):
            await history.find("a")


async def test_the_account(sim: RunningSimulator) -> None:
    sim.config.credits_micros, sim.config.free_credits_micros = 1_234_567, 89
    account = AccountClient(url=sim.url, api_key=KEY, seconds=5)
    try:
        assert await account.credits() == UpstreamCredits(1_234_567, 89)
        sim.set_faults({"match": "credits", "fault": "answer", "status": 404, "error": "No credits found for the user"})
        assert await account.credits() is None
        sim.set_faults({"match": "credits", "fault": "answer", "status": 200, "html": True})
        with pytest.raises(NotRead, match="malformed"):
            await account.credits()
        sim.set_faults({"match": "credits", "fault": "reset"})
        with pytest.raises(NotRead):
            await account.credits()
    finally:
        await account.close()
