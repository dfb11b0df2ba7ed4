"""The request history on a bad day: late, contradicting the status, with other bodies, limited, down, its clock wrong."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator

Submit = Callable[..., Awaitable[str]]
Finished = Callable[[str], Awaitable[httpx.Response]]
HISTORY = "/inference-request/request-history"
RESET = "x-rate-limit-reset-at-utc"


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(HISTORY, params={"per_page": 100, **query})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def configure(client: httpx.AsyncClient, **changes: Any) -> None:
    response = await client.patch("/_simulator/config", json=changes)
    assert response.status_code == 200, response.text


async def test_some_rows_are_late_and_then_stand_in_their_place(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    await configure(client, history_late_probability=0.5, history_late_seconds=1000)
    ids = [await submit() for _ in range(40)]
    late = {fact["request_id"]: fact["history_late_seconds"] for fact in sim.book.facts("started")}
    assert list(late) == ids
    assert 8 <= sum(seconds > 0 for seconds in late.values()) <= 32
    assert 600 < max(late.values()) <= 1000
    present = sim.simulator.now()
    for passed in (0, 100, 500, 1100):
        monkeypatch.setattr(sim.simulator, "now", lambda passed=passed: present + passed)
        expected = [run for run in ids[::-1] if sim.simulator.runs[run].submitted_at + late[run] <= present + passed]
        assert [row["request_id"] for row in await rows(client)] == expected
        assert (await client.get(HISTORY)).json()["total"] == len(expected)
        assert {run for run in ids if (await client.get(f"{HISTORY}/{run}")).status_code == 200} == set(expected)
    assert len(expected) == 40
    await configure(client, history_lag_seconds=1000)
    assert {row["request_id"] for row in await rows(client)} == {run for run in ids if late[run] < 100}


async def test_a_seed_and_a_book_repeat_what_is_late_and_what_lies(tmp_path: Any) -> None:
    async def drawn(config: SimulatorConfig, submits: int) -> list[tuple[float, bool]]:
        async with running_simulator(config) as sim, httpx.AsyncClient(base_url=sim.url, timeout=60) as client:
            for _ in range(submits):
                await client.post("/v2/sim-instant", json={}, headers={"x-api-key": "k"})
            return [(run.history_late_seconds, run.history_lies) for run in sim.simulator.runs.values()]

    chances: dict[str, Any] = {
        "history_late_probability": 0.5,
        "history_late_seconds": 10.0,
        "history_lies_probability": 0.5,
    }
    first = await drawn(SimulatorConfig(seed=3, book_path=tmp_path / "book", **chances), 12)
    assert len(set(first)) > 4
    assert first == await drawn(SimulatorConfig(seed=3, **chances), 12)
    assert first == await drawn(SimulatorConfig(book_path=tmp_path / "book"), 0)


async def test_rows_that_contradict_the_status(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, finished: Finished
) -> None:
    await configure(client, history_lies_probability=0.5, failure_probability=0.5, speed=1e9)
    seen = set()
    for _ in range(40):
        request_id = await submit("some-image")
        real = (await finished(request_id)).json()["status"]
        row = (await client.get(f"{HISTORY}/{request_id}")).json()
        lies = row["model_status"] != real
        seen.add((real, lies))
        (fact,) = [fact for fact in sim.book.facts("started") if fact["request_id"] == request_id]
        assert fact["history_lies"] is lies
        shows_failed = row["model_status"] == "FAILED"
        assert (row["credits_deduction"] == 0.0, row["error"] is not None) == (shows_failed, shows_failed)
        assert (row["generation_url"] is None) is shows_failed
    assert seen == {("COMPLETED", True), ("COMPLETED", False), ("FAILED", True), ("FAILED", False)}
    assert {row["model_status"] for row in await rows(client, status="FAILED")} == {"FAILED"}
    await submit("sim-hang")
    assert [row["model_status"] for row in await rows(client, model_name="sim-hang")] == ["PENDING"]


async def test_bodies_with_quoted_numbers_or_without_a_body(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit
) -> None:
    body = b'{"fps": 7, "list":[-0.50,1e-3,true,null,{"n":12345678901234567890}], "text":"a \\"7\\" 8, 9", "7":"x"}'
    headers = {"content-type": "application/json"}
    assert (await client.post("/v2/sim-instant", content=body, headers=headers)).status_code == 200
    await configure(client, history_numbers_as_strings=True)
    expected = {"fps": "7", "list": ["-0.50", "1e-3", True, None, {"n": "12345678901234567890"}]}
    assert [row["request_body"] for row in await rows(client)] == [expected | {"text": 'a "7" 8, 9', "7": "x"}]
    await configure(client, history_body="string")
    assert '"fps": "7"' in (await rows(client))[0]["request_body"]
    await configure(client, history_body="none")
    (row,) = await rows(client)
    assert "request_body" not in row
    assert "request_body" not in (await client.get(f"{HISTORY}/{row['request_id']}")).json()
    await submit("motionctrl-svd", motion="CW")
    await configure(client, history_body="object", history_adds_defaults=True)
    (row,) = await rows(client, model_name="motionctrl-svd")
    assert (row["request_body"]["fps"], row["request_body"]["cond_aug"], len(row["request_body"])) == ("7", "0.02", 10)


@pytest.mark.parametrize("kind", ["token_bucket", "sliding_minute", "fixed_minute"])
async def test_the_history_has_a_limit_of_its_own(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    present = sim.simulator.now() // 60 * 60 + 30
    monkeypatch.setattr(sim.simulator, "now", lambda: present)
    await configure(client, history_rpm=3, rpm=2, rate_burst=2, rate_kind=kind)
    request_id = await submit()
    paths = [HISTORY, f"{HISTORY}/{request_id}", HISTORY, HISTORY, f"{HISTORY}/{request_id}"]
    answers = [await client.get(path) for path in paths]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    resets_at = datetime.fromisoformat(answers[3].headers[RESET]).timestamp()
    assert present < resets_at <= present + 60
    assert set(answers[3].json()) == {"error"}
    await submit()
    assert (await client.post("/v2/sim-instant", json={})).status_code == 429
    await configure(client, history_rpm=0)
    assert (await client.get(HISTORY)).status_code == 200


async def test_the_history_refuses_fails_is_off_or_slow(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit
) -> None:
    instant, hanging = await submit(), await submit("sim-hang")
    sim.set_faults(
        {"match": "history", "fault": "answer", "status": 429, "headers": {RESET: "2030-01-31T12:00:00Z"}, "count": 1},
        {"match": "history", "fault": "answer", "status": 500, "count": 1},
        {"match": "history", "fault": "close", "count": 1},
        {"match": "history", "slug": "sim-hang", "fault": "answer", "status": 503},
        {"match": "history", "fault": "delay", "seconds": 0.2},
    )
    refused, failed = await client.get(HISTORY), await client.get(f"{HISTORY}/{instant}")
    assert (refused.status_code, refused.headers[RESET], failed.status_code) == (429, "2030-01-31T12:00:00Z", 500)
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(HISTORY)
    assert (await client.get(f"{HISTORY}/{hanging}")).status_code == 503
    slow = await client.get(f"{HISTORY}/{instant}")
    assert (slow.status_code, slow.elapsed >= timedelta(seconds=0.19)) == (200, True)
    assert (await client.get(f"/v2/requests/{instant}")).status_code == 200


@pytest.mark.parametrize("offset_seconds", [-7200.5, 3 * 86400])
async def test_the_upstream_clock_is_wrong(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, offset_seconds: float
) -> None:
    await configure(client, clock_offset_seconds=offset_seconds, rpm=1, history_rpm=60)
    await submit()
    present = sim.simulator.now()
    refused = await client.post("/v2/sim-instant", json={})
    told = [
        parsedate_to_datetime(refused.headers["date"]),
        datetime.fromisoformat(refused.headers[RESET]) - timedelta(seconds=60),
        datetime.fromisoformat((await rows(client))[0]["model_created"]),
    ]
    assert [instant.timestamp() - offset_seconds for instant in told] == pytest.approx([present] * 3, abs=10)
    their_day = datetime.fromtimestamp(present + offset_seconds, UTC).date()
    near = {"from_date": their_day - timedelta(days=1), "to_date": their_day + timedelta(days=1)}
    assert len(await rows(client, **near)) == 1
    await configure(client, clock_offset_seconds=0)
    assert parsedate_to_datetime((await client.get(HISTORY)).headers["date"]).timestamp() == pytest.approx(
        present, abs=10
    )


@pytest.mark.parametrize(
    "changes",
    [{"clock_offset_seconds": "1"}, {"clock_offset_seconds": -1e12}, {"history_late_probability": 1.5},
     {"history_lies_probability": -0.1}, {"history_late_seconds": -1}, {"history_rpm": 0.5}, {"history_body": "list"},
     {"history_numbers_as_strings": 1}],
)  # fmt: skip
async def test_settings_that_make_no_sense(client: httpx.AsyncClient, sim: RunningSimulator, changes: Any) -> None:
    response = await client.patch("/_simulator/config", json={"rpm": 7} | changes)
    assert (response.status_code, sim.config.rpm) == (400, 0)
    assert response.json()["error"].startswith(next(iter(changes)))
