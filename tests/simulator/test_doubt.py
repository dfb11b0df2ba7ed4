"""Answers that leave a client in doubt: dropped, replaced, with another's id, or with states that go to and fro."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator

Submit = Callable[..., Awaitable[str]]
Finished = Callable[[str], Awaitable[httpx.Response]]
PostBytes = Callable[..., bytes]
GetBytes = Callable[[str], bytes]


async def state(client: httpx.AsyncClient, request_id: str) -> str:
    return str((await client.get(f"/v2/requests/{request_id}/status")).json()["status"])


async def test_states_flap_until_the_run_ends(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "status", "fault": "flap"})
    first, second = await submit("sim-hang"), await submit("sim-hang")
    assert [await state(client, first) for _ in range(5)] == ["PROCESSING", "QUEUED"] * 2 + ["PROCESSING"]
    assert [await state(client, second) for _ in range(2)] == ["PROCESSING", "QUEUED"]
    assert await state(client, await submit("sim-instant")) == "COMPLETED"
    sim.set_faults({"match": "status", "fault": "flap", "states": ["QUEUED", "QUEUED", "PROCESSING"], "count": 3})
    assert [await state(client, first) for _ in range(3)] == ["QUEUED", "QUEUED", "PROCESSING"]


@pytest.mark.parametrize(
    "fault",
    [{"fault": "answer", "status": 404, "error": "Request x not found"}, {"fault": "not_found_until", "seconds": 1e9}],
)
async def test_404_some_times_and_then_found(
    client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit, fault: dict[str, Any]
) -> None:
    sim.set_faults({"match": "status", "slug": "sim-hang", "count": 2, **fault})
    hanging, instant = await submit("sim-hang"), await submit("sim-instant")
    assert await state(client, instant) == "COMPLETED"
    answers = [await client.get(f"/v2/requests/{hanging}/status") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [404, 404, 200, 200]
    assert set(answers[0].json()) == {"error"}
    assert answers[0].json()["error"].endswith("not found")


async def test_the_id_of_another_run(client: httpx.AsyncClient, sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "submit", "slug": "sim-instant", "fault": "repeat_id"})
    first, other = await submit(a=1), await submit("sim-hang", a=1)
    assert [await submit(a=2), await submit(a=3)] == [first, first]
    assert len({first, other}) == 2
    facts = list(sim.book.facts("started"))
    told = [fact.get("answered_id") for fact in facts if fact["slug"] == "sim-instant"]
    assert told == [None, first, first]
    (second,) = sim.book.starts(b'{"a":2}')
    assert second != first
    assert set(sim.book.charged()) == {fact["request_id"] for fact in facts} - {other}
    assert await state(client, second) == "COMPLETED"


async def test_the_id_of_another_run_and_no_new_run(sim: RunningSimulator, submit: Submit) -> None:
    sim.set_faults({"match": "submit", "fault": "repeat_id", "same_run": True, "nth": 3})
    first, second, third = await submit(a=1), await submit("sim-hang"), await submit(a=2)
    assert (third, sim.book.started_ids()) == (first, [first, second])


async def test_ids_repeat_after_a_restart(tmp_path: Path) -> None:
    config = SimulatorConfig(book_path=tmp_path / "book")
    told = []
    for _ in range(3):
        async with running_simulator(config) as sim, httpx.AsyncClient(base_url=sim.url, timeout=60) as client:
            sim.set_faults({"match": "submit", "fault": "repeat_id"})
            answer = await client.post("/v2/sim-instant", json={}, headers={"x-api-key": "k"})
            told.append(answer.json()["request_id"])
            started = sim.book.started_ids()
    assert (set(told), len(set(started))) == ({started[0]}, 3)


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_a_server_before_the_upstream_gives_up(
    client: httpx.AsyncClient, sim: RunningSimulator, version: str, status: int, accepted: bool
) -> None:
    sim.set_faults({"fault": "answer", "status": status, "html": True, "accepted": accepted, "count": 1})
    response = await client.post(f"/{version}/sim-instant", json={"a": 1})
    assert (response.status_code, response.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert len(sim.book.starts(b'{"a":1}')) == accepted
    assert len(sim.book.charged()) == accepted
    assert (await client.post(f"/{version}/sim-instant", json={"a": 2})).status_code == 200


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("after", [None, "nothing", "header", "body"])
async def test_some_answers_are_dropped(
    sim: RunningSimulator,
    raw: Callable[..., Awaitable[tuple[bytes, str]]],
    post_bytes: PostBytes,
    how: str,
    after: str | None,
) -> None:
    rule = {"fault": how} if after is None else {"fault": "lose_answer", "how": how, "after": after}
    sim.set_faults({"match": "submit", "probability": 0.5, **rule})
    answered = 0
    for _ in range(16):
        came, end = await raw(post_bytes().replace(b"host:", b"connection: close\r\nhost:"), seconds=60)
        whole = came.endswith(b"}")
        answered += whole
        assert end == ("close" if whole else how)
        head, blank, body = came.partition(b"\r\n\r\n")
        assert (
            whole
            or (bool(head), bool(blank), bool(body))
            == {
                None: (False, False, False),
                "nothing": (False, False, False),
                "header": (True, False, False),
                "body": (True, True, True),
            }[after]
        )
    dropped = len(list(sim.book.facts("fault")))
    assert (answered, 0 < dropped < 16) == (16 - dropped, True)
    assert len(sim.book.started_ids()) == (answered if after is None else 16)


def read_slowly(port: int, request: bytes) -> bytes:
    """What comes before the reset, for a client with little room."""
    came = b""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", port))
        client.sendall(request)
        try:
            while more := client.recv(1 << 20):
                came += more
        except ConnectionResetError:
            return came
    raise AssertionError(f"no reset after {len(came)} bytes")


async def test_half_a_large_body_is_half_of_it_for_a_slow_reader(
    sim: RunningSimulator, submit: Submit, get_bytes: GetBytes
) -> None:
    sim.config.output_bytes = 8_000_000
    request_id = await submit()
    sim.set_faults({"match": "file", "fault": "lose_answer", "after": "body", "how": "reset"})
    came = await asyncio.to_thread(read_slowly, sim.port, get_bytes(f"/files/{request_id}.png"))
    assert len(came.partition(b"\r\n\r\n")[2]) == 4_000_000
