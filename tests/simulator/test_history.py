"""The request history: rows, pages, windows and lags."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.simulator.surface.serve import RunningSimulator

Submit = Callable[..., Awaitable[str]]
Finished = Callable[[str], Awaitable[httpx.Response]]
HISTORY = "/inference-request/request-history"


async def rows(client: httpx.AsyncClient, **query: Any) -> list[dict[str, Any]]:
    response = await client.get(HISTORY, params=query)
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["data"]
    return found


async def test_a_row_of_a_completed_run(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit("sim-instant", fps=7, motion="CW")
    (row,) = await rows(client)
    created = datetime.fromisoformat(row.pop("model_created"))
    assert abs(created.timestamp() - sim.simulator.now()) < 5
    assert row == {
        "request_id": request_id,
        "model_name": "sim-instant",
        "model_status": "COMPLETED",
        "credits_deduction": sim.book.charged()[request_id] / 1e6,
        "request_body": {"fps": 7, "motion": "CW"},
        "generation_url": f"{sim.url}/files/{request_id}.png",
        "latency_ms": 0,
        "error": None,
    }
    assert (await client.get(f"{HISTORY}/{request_id}")).json() == row | {
        "model_created": created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    }
    assert (await client.get(f"{HISTORY}/{'0' * 32}")).status_code == 404


async def test_rows_of_failed_and_running_runs(client: httpx.AsyncClient, submit: Submit, finished: Finished) -> None:
    await finished(await submit("sim-fail"))
    await submit("sim-hang")
    running, failed = await rows(client)
    assert (running["model_status"], running["credits_deduction"], running["latency_ms"]) == ("PENDING", None, None)
    assert (failed["model_status"], failed["credits_deduction"], failed["generation_url"]) == ("FAILED", 0.0, None)
    assert failed["error"]
    assert [row["model_status"] for row in await rows(client, status="PENDING")] == ["PENDING"]


async def test_a_run_with_several_outputs_has_as_many_rows(
    client: httpx.AsyncClient, submit: Submit, finished: Finished
) -> None:
    request_id = await submit("sim-images")
    await finished(request_id)
    found = await rows(client)
    assert [row["request_id"] for row in found] == [request_id] * 3
    assert len({row["generation_url"] for row in found}) == 3
    assert len({row["credits_deduction"] for row in found}) == 1


async def test_pages(client: httpx.AsyncClient, submit: Submit) -> None:
    ids = [await submit("sim-instant", number=number) for number in range(7)]
    pages = [(await client.get(HISTORY, params={"page": page, "per_page": 3})).json() for page in (1, 2, 3, 4)]
    assert [len(page["data"]) for page in pages] == [3, 3, 1, 0]
    assert [row["request_id"] for page in pages for row in page["data"]] == ids[::-1]
    assert [(page["page"], page["per_page"], page["total"]) for page in pages] == [(n, 3, 7) for n in (1, 2, 3, 4)]
    ascending = await rows(client, sort_order="asc", sort_by="model_created")
    assert [row["request_id"] for row in ascending] == ids


async def test_filters(client: httpx.AsyncClient, submit: Submit) -> None:
    await submit("sim-instant")
    await submit("motionctrl-svd")
    today = datetime.now(UTC).date()
    assert [row["model_name"] for row in await rows(client, model_name="svd")] == ["motionctrl-svd"]
    assert [row["model_name"] for row in await rows(client, sort_by="model_name")] == ["sim-instant", "motionctrl-svd"]
    assert len(await rows(client, from_date=today - timedelta(days=1), to_date=today + timedelta(days=1))) == 2
    assert await rows(client, to_date=today - timedelta(days=2)) == []


@pytest.mark.parametrize(
    "query",
    [
        {"page": 0},
        {"per_page": 101},
        {"page": "x"},
        {"sort_by": "x"},
        {"sort_order": "up"},
        {"from_date": "yesterday"},
        {"from_date": "2026-01-01", "to_date": "2026-03-01"},
    ],
)
async def test_a_query_that_makes_no_sense_is_400(client: httpx.AsyncClient, query: dict[str, Any]) -> None:
    response = await client.get(HISTORY, params=query)
    assert (response.status_code, set(response.json())) == (400, {"error"})


async def test_rows_are_late_and_their_cost_later(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit
) -> None:
    sim.config.history_lag_seconds, sim.config.history_cost_lag_seconds = 1000, 1000
    request_id = await submit()
    assert await rows(client) == []
    assert (await client.get(f"{HISTORY}/{request_id}")).status_code == 404
    sim.config.history_lag_seconds = 0
    assert [row["credits_deduction"] for row in await rows(client)] == [None]
    sim.config.history_cost_lag_seconds = 0
    assert [row["credits_deduction"] for row in await rows(client)] == [sim.book.charged()[request_id] / 1e6]


async def test_rows_outlive_the_request(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    request_id = await submit()
    sim.config.retention_seconds = 0
    assert (await client.get(f"/v2/requests/{request_id}")).status_code == 404
    (row,) = await rows(client)
    assert (await client.get(row["generation_url"])).status_code == 200


async def test_bodies_are_shown_as_objects_or_as_strings(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit
) -> None:
    await submit("motionctrl-svd", fps=9)
    sim.config.history_adds_defaults = True
    (row,) = await rows(client)
    assert (len(row["request_body"]), row["request_body"]["fps"], row["request_body"]["motion"]) == (10, 9, "CW")
    sim.config.history_body, sim.config.history_adds_defaults = "string", False
    (row,) = await rows(client)
    assert row["request_body"] == '{"fps":9}'


async def test_the_history_needs_a_key_and_can_be_down(client: httpx.AsyncClient, sim: RunningSimulator) -> None:
    assert (await client.get(HISTORY, headers={"x-api-key": ""})).status_code == 401
    sim.set_faults({"match": "history", "fault": "answer", "status": 503, "html": True})
    assert (await client.get(HISTORY)).status_code == 503
