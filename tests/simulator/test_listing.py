"""Pages of the request history: quick for many runs, and right whatever is late, forgotten or asked for."""

import random
import time
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any

import httpx
import pytest

from app.simulator.book import hash_body
from app.simulator.config import SimulatorConfig
from app.simulator.profiles import catalogue, find_profile
from app.simulator.runs import Run, draw_run
from app.simulator.surface.serve import RunningSimulator
from app.simulator.timeline import Timeline, Window

Submit = Callable[..., Awaitable[str]]
HISTORY = "/inference-request/request-history"
SLUGS = ("svd", "motionctrl-svd", "sim-images")
"""The last has three outputs."""


def start(sim: RunningSimulator, number: int, *, apart_seconds: float = 0.01) -> list[str]:
    """Start runs of three models in the last minutes; their ids, oldest first."""
    begin = sim.simulator.now() - number * apart_seconds
    body = b'{"fps":7}'
    return [
        sim.simulator.start(
            catalogue()[SLUGS[index % 2]],
            now=begin + index * apart_seconds,
            body=body,
            hashed=hash_body(body),
            key="",
            invalid=None,
        ).request_id
        for index in range(number)
    ]


async def page(client: httpx.AsyncClient, number: int, **query: Any) -> dict[str, Any]:
    response = await client.get(HISTORY, params={"page": number, "per_page": 100, "sort_order": "desc", **query})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


async def test_all_pages_of_sixteen_thousand_runs(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    started = start(sim, 16_000)
    listed: list[str] = []
    for number in range(1, 162):
        found = await page(client, number)
        assert found["total"] == 16_000
        listed += [row["request_id"] for row in found["data"]]
    assert listed == started[::-1]
    of_one = await page(client, 80, model_name="motionctrl")
    assert (of_one["total"], [row["request_id"] for row in of_one["data"]]) == (8000, started[1:200:2][::-1])
    first = await page(client, 1, sort_order="asc")
    assert [row["request_id"] for row in first["data"]] == started[:100]


async def cheapest_seconds(client: httpx.AsyncClient, number: int) -> float:
    """The least processor time of this process for one of several pages."""
    found = []
    for _ in range(7):
        began = time.process_time()
        await page(client, number)
        found.append(time.process_time() - began)
    return min(found)


async def test_a_page_near_the_top_costs_no_more_with_many_runs(
    client: httpx.AsyncClient, sim: RunningSimulator
) -> None:
    start(sim, 300)
    with_few = await cheapest_seconds(client, 2)
    start(sim, 40_000, apart_seconds=0.001)
    with_many = await cheapest_seconds(client, 2)
    assert with_many < 2 * with_few + 0.002


async def test_forgotten_runs_leave_the_pages(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.config.runs_max = 3
    sim.config.history_late_probability, sim.config.history_late_seconds = 0.5, 0.000001
    hanging = await submit("sim-hang")
    ended = [await submit("sim-instant", number=number) for number in range(6)]
    found = await page(client, 1)
    kept = [row["request_id"] for row in found["data"]]
    assert set(kept) == set(sim.simulator.runs)
    assert (kept[-1], kept[0], found["total"]) == (hanging, ended[-1], len(kept))


@pytest.mark.parametrize("seed", range(8))
def test_a_timeline_is_what_sorting_all_runs_gives(seed: int) -> None:
    chance = random.Random(seed)
    config = SimulatorConfig(seed=seed, history_late_probability=0.4, history_late_seconds=50)
    timeline, runs = Timeline(), list[Run]()
    for number in range(300):
        profile = find_profile(chance.choice(SLUGS), config)
        assert profile is not None
        at = round(chance.uniform(0, 100))
        runs.append(draw_run(profile, config, request_id=str(number), now=at, body=b"{}", key=""))
        timeline.add(runs[-1])
        if chance.random() < 0.2:
            timeline.remove(runs.pop(chance.randrange(len(runs))))
    for _ in range(50):
        begin, end = sorted((chance.uniform(-5, 110), chance.uniform(-5, 110)))
        window = Window(
            begin=begin, end=end, model=chance.choice(("", "svd", "x", "sim")), seen_at=chance.uniform(0, 160)
        )
        expected = [
            run
            for run in runs
            if begin <= run.submitted_at < end and window.model in run.slug and run.appears_at <= window.seen_at
        ]
        for descending in (False, True):
            walked = list(timeline.walk(window, descending=descending))
            instants = [run.submitted_at for run in walked]
            assert instants == sorted(instants, reverse=descending)
            assert sorted(run.request_id for run in walked) == sorted(run.request_id for run in expected)
            assert list(islice(timeline.walk(window, descending=descending), 10)) == walked[:10]
        assert timeline.count_rows(window) == sum(run.outputs for run in expected)
