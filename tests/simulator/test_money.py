"""Credits: reservations, charges, refusals; and the requests a minute."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

import httpx
import pytest

from app.simulator.account import RateLimit
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator

Submit = Callable[..., Awaitable[str]]
Finished = Callable[[str], Awaitable[httpx.Response]]


@pytest.mark.parametrize(("version", "status"), [("v2", 402), ("v1", 406)])
async def test_no_credits(client: httpx.AsyncClient, sim: RunningSimulator, version: str, status: int) -> None:
    sim.config.credits_micros = 0
    response = await client.post(f"/{version}/sim-instant", json={})
    assert response.status_code == status
    assert response.json() == {"error": "Insufficient credits. You have 0.0 credits."}
    sim.config.credits_micros = 10_000
    few = await client.post(f"/{version}/sim-instant", json={})
    assert (few.status_code, few.json()["error"]) == (
        status,
        "Insufficient credits. You have 0.01 credits. 0.0105 credits are needed.",
    )
    assert [fact["status"] for fact in sim.book.refusals()] == [status, status]


async def test_runs_under_way_reserve_credits(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.config.credits_micros = 2 * 10_500
    await submit("sim-hang")
    await submit("sim-hang")
    assert (await client.get("/v1/get-user-credits")).json()["credits"] == 0.021
    assert (await client.post("/v2/sim-hang", json={})).status_code == 402
    assert sim.simulator.account.reserved_micros == 21_000


async def test_a_failed_run_gives_its_reservation_back(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished
) -> None:
    before = sim.config.credits_micros
    request_id = await submit("sim-fail")
    await finished(request_id)
    assert (sim.config.credits_micros, sim.simulator.account.reserved_micros) == (before, 0)
    assert (sim.book.failed_ids(), sim.book.charged()) == ([request_id], {})


async def test_every_run_is_charged_once_even_if_nobody_asks(sim: RunningSimulator, submit: Submit) -> None:
    before = sim.config.credits_micros
    ids = await asyncio.gather(*(submit(number=number) for number in range(20)))
    charged = sim.book.charged()
    assert set(charged) == set(ids)
    assert all(9_500 <= cost <= 10_500 for cost in charged.values())
    assert sim.config.credits_micros == before - sum(charged.values())
    assert len(list(sim.book.facts("charged"))) == 20
    lowest = min(fact["remaining_micros"] for fact in sim.book.facts("charged"))
    assert lowest == sim.config.credits_micros


async def test_the_teams_spend_limit_is_406(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.config.spend_limit_micros = 15_000
    await submit()
    await submit()
    response = await client.post("/v2/sim-instant", json={})
    assert (response.status_code, "spend limit" in response.json()["error"]) == (406, True)


async def test_429_says_until_when_in_its_own_header(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.rpm = 2
    answers = [await client.post("/v2/sim-instant", json={}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refused = answers[2]
    assert "retry-after" not in refused.headers
    until = datetime.fromisoformat(refused.headers["x-rate-limit-reset-at-utc"]).timestamp()
    assert 25 < until - sim.simulator.now() < 31
    assert sim.book.refusals()[0]["status"] == 429
    assert (await client.get("/v2/requests/x")).status_code == 404
    sim.config.rate_counts_polls = True
    assert (await client.get("/v2/requests/x")).status_code == 429
    assert (await client.get("/v1/get-user-credits")).status_code == 200


async def test_an_upstream_may_keep_its_resets_to_itself(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.rpm = 1
    sim.config.rate_tells_reset = False
    answers = [await client.post("/v1/sim-instant", json={}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert all("x-rate-limit-reset-at-utc" not in answer.headers for answer in answers)


async def test_v1_says_when_the_limit_resets(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.rpm = 60
    response = await client.post("/v1/sim-instant", json={})
    assert response.headers["x-rate-limit-reset-at-utc"].endswith("Z")


def admitted(limit: RateLimit, *instants: float) -> str:
    return "".join("x" if limit.refused_until(now) is None else "." for now in instants)


def test_token_bucket() -> None:
    limit = RateLimit(SimulatorConfig(rpm=60, rate_burst=2))
    assert admitted(limit, 100, 100, 100, 100.5, 101, 101.5, 102, 110, 110, 110) == "xx..x.xxx."
    assert limit.refused_until(110.25) == pytest.approx(111)


def test_sliding_minute() -> None:
    limit = RateLimit(SimulatorConfig(rpm=2, rate_kind="sliding_minute"))
    assert admitted(limit, 100, 130, 140, 159.9, 160, 161, 190) == "xx..x.x"
    assert limit.refused_until(191) == 220


def test_fixed_minute() -> None:
    limit = RateLimit(SimulatorConfig(rpm=2, rate_kind="fixed_minute"))
    assert admitted(limit, 118, 119, 119.9, 120, 121, 122) == "xx.xx."
    assert limit.refused_until(123) == 180


def test_the_minute_can_be_shortened() -> None:
    limit = RateLimit(SimulatorConfig(rpm=1, rate_kind="sliding_minute", rate_window_seconds=0.5))
    assert admitted(limit, 100, 100.4, 100.5) == "x.x"
