"""`/_simulator/…`, and the settings behind it."""

import math
import statistics
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.profiles import catalogue
from app.simulator.runs import Run, draw_run, reservation_micros
from app.simulator.stats import Stats
from app.simulator.surface.serve import RunningSimulator

Submit = Callable[..., Awaitable[str]]


async def test_settings_change_at_run_time(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    changed = await client.patch(
        "/_simulator/config", json={"speed": 5, "rpm": 100, "credits": 2.5, "retired_slugs": ["x"]}
    )
    assert changed.status_code == 200
    assert (sim.config.speed, sim.config.rpm, sim.config.credits_micros) == (5, 100, 2_500_000)
    assert (await client.post("/v2/x", json={})).status_code == 410
    assert (await client.get("/_simulator/config")).json() == changed.json()


@pytest.mark.parametrize(
    "changes",
    [{"port": 1}, {"x": 1}, {"speed": 0}, {"speed": "1"}, {"rpm": 1.5}, {"rpm": True}, {"rate_kind": "x"}, {"sigma": -1},
     {"history_adds_defaults": 1}, {"history_body": 1}, {"unknown_slugs": "x"}, {"spend_limit_micros": -1}, {"credits": "x"}, []],
)  # fmt: skip
async def test_a_wrong_setting_changes_nothing(client: httpx.AsyncClient, sim: RunningSimulator, changes: Any) -> None:
    if isinstance(changes, dict):
        changes = {"rpm": 77} | changes
    response = await client.patch("/_simulator/config", json=changes)
    assert (response.status_code, set(response.json())) == (400, {"error"})
    assert sim.config.rpm == 0


async def test_keys_are_not_shown(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    sim.config.api_keys = ("SG_secret_7777",)
    assert "secret" not in (await client.get("/_simulator/config")).text


async def test_fault_rules_over_http(client: httpx.AsyncClient, submit: Submit) -> None:
    rule = {"match": "status", "fault": "answer", "status": 500}
    assert (await client.post("/_simulator/faults", json=[rule])).json() == {"rules": [rule]}
    added = await client.post("/_simulator/faults", json={"rules": [{"fault": "close", "match": "file"}]})
    assert len(added.json()["rules"]) == 2
    request_id = await submit()
    assert (await client.get(f"/v2/requests/{request_id}/status")).status_code == 500
    assert (await client.get("/_simulator/faults")).json()["rules"][0] == rule | {"seen": 1, "fired": 1}
    assert (await client.put("/_simulator/faults", json=rule)).json() == {"rules": [rule]}
    assert (await client.delete("/_simulator/faults")).json() == {"rules": []}
    assert (await client.get(f"/v2/requests/{request_id}/status")).status_code == 200
    for wrong in ("{", "3", '[{"fault":"x"}]'):
        assert (await client.post("/_simulator/faults", content=wrong)).status_code == 400
    assert (await client.get("/_simulator/nothing")).status_code == 404
    assert (await client.get("/_simulator/book?after=x")).status_code == 400


async def test_figures(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    await submit("sim-hang")
    await submit("sim-hang")
    request_id = await submit("sim-instant")
    await client.get(f"/v2/requests/{request_id}")
    await client.get("/v2/requests/x/status")
    figures = (await client.get("/_simulator/stats")).json()
    assert figures["requests"] == {"submit": 3, "result": 1, "status": 1}
    assert figures["statuses"] == {"200": 4, "404": 1}
    assert (figures["in_flight"], figures["in_flight_max"], figures["runs"]) == (2, 3, 3)
    assert figures["busiest_minute"] == {"submit": 3, "result": 1, "status": 1}
    assert sim.stats.busiest(60) == 5


def test_the_busiest_minute() -> None:
    stats = Stats()
    for now in (10.0, 10.9, 69.5, 70.0, 70.1):
        stats.count("submit", now)
    stats.count("status", 70.2)
    stats.count("submit", 200.0)
    assert (stats.busiest(60, "submit"), stats.busiest(1, "submit"), stats.busiest(60)) == (3, 2, 4)
    assert stats.busiest(1000, "submit", "status") == 7


def draws(slug: str, config: SimulatorConfig, number: int) -> list[Run]:
    profile = catalogue()[slug]
    return [draw_run(profile, config, request_id=str(n), now=0, body=b"{}", key="") for n in range(number)]


def test_run_times_are_log_normal_around_the_published_mean() -> None:
    runs = draws("motionctrl-svd", SimulatorConfig(seed=1), 4000)
    seconds = [run.run_seconds for run in runs]
    assert statistics.mean(seconds) == pytest.approx(62.74, rel=0.03)
    assert statistics.stdev(map(math.log, seconds)) == pytest.approx(0.3, rel=0.05)
    fast = draws("motionctrl-svd", SimulatorConfig(seed=1, speed=10), 4000)
    assert [run.run_seconds * 10 for run in fast] == pytest.approx(seconds)
    assert [run.queue_seconds * 10 for run in fast] == pytest.approx([run.queue_seconds for run in runs])


def test_costs_are_whole_micros_and_never_above_the_reservation() -> None:
    config = SimulatorConfig(seed=1)
    for slug in ("motionctrl-svd", "llama-v3p1-8b-instruct", "kling-v2-pro-avatar"):
        profile = catalogue()[slug]
        costs = [run.cost_micros for run in draws(slug, config, 1000)]
        assert all(isinstance(cost, int) and 0 < cost <= reservation_micros(profile, config) for cost in costs)
        assert statistics.mean(costs) == pytest.approx(profile.cost_micros, rel=0.02)


def test_a_seed_repeats_everything() -> None:
    once, again, other = (draws("svd", SimulatorConfig(seed=seed), 20) for seed in (4, 4, 5))
    assert once == again != other


async def test_some_runs_fail_if_told_to(sim: RunningSimulator, submit: Submit) -> None:
    sim.config.failure_probability, sim.config.speed = 0.5, 1e9
    for _ in range(40):
        await submit("some-image")
    assert 8 <= len(sim.book.failed_ids()) <= 32


async def test_a_cold_model_starts_late(sim: RunningSimulator, submit: Submit) -> None:
    sim.config.cold_start_seconds, sim.config.sigma, sim.config.speed = 100, 0, 1
    first, second, other = await submit("one"), await submit("one"), await submit("two")
    queued = [sim.simulator.runs[request_id].queue_seconds for request_id in (first, second, other)]
    assert queued == pytest.approx([100.5, 0.5, 100.5])


async def test_the_oldest_finished_runs_are_forgotten(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit
) -> None:
    sim.config.runs_max = 2
    hanging = await submit("sim-hang")
    ended = [await submit("sim-instant", number=number) for number in range(4)]
    known = [(await client.get(f"/v2/requests/{run}")).status_code for run in (hanging, *ended)]
    assert known[0] == known[-1] == 200
    assert known.count(404) >= 2
    assert len(sim.simulator.runs) <= 3
    assert len(sim.book.started_ids()) == 5
