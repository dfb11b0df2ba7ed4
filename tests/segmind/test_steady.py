"""Steady clients are held for at most their own interval, and hear of the end at once."""

import asyncio
from uuid import UUID

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import clock
from app.segmind.steady import HELD_SECONDS_MAX, KNOWN_MAX, SteadyPolls
from tests.gateway import LATER
from tests.stopwatch import Stopwatch

POLLS_MAX = 50
REQUEST = (UUID(int=1), UUID(int=2))


@pytest.fixture
async def parked(client: httpx.AsyncClient) -> str:
    """A job that stays queued."""
    body = {"model": "sim-instant", "input": {}, "not_before": LATER}
    return str((await client.post("/api/v1/jobs", json=body)).json()["id"])


async def polled(client: httpx.AsyncClient, job_id: str) -> tuple[httpx.Response, float]:
    watch = Stopwatch()
    answer = await client.get(f"/v2/requests/{job_id}/status")
    return answer, watch.own_seconds


async def test_from_the_third_poll_on_for_its_own_interval(client: httpx.AsyncClient, parked: str) -> None:
    own, held = [], 0
    for _ in range(POLLS_MAX):  # a client on a busy machine may need some until it has been steady
        watch = Stopwatch()
        answer, seconds = await polled(client, parked)
        assert answer.json()["status"] == "QUEUED"
        own.append(seconds)
        held += watch.seconds > 0.38
        if held == 2:
            break
        await asyncio.sleep(0.4)
    assert held == 2, own
    assert max(own[:2]) < 0.35, own
    assert max(own) < 0.8, own


@pytest.mark.slow
async def test_the_end_is_told_at_once(client: httpx.AsyncClient, parked: str) -> None:
    for _ in range(3):
        await polled(client, parked)
        await asyncio.sleep(1.5)
    poll = asyncio.create_task(polled(client, parked))
    await asyncio.sleep(0.3)
    assert not poll.done()
    watch = Stopwatch()
    assert (await client.post(f"/api/v1/jobs/{parked}/cancel")).status_code == 200
    answer, _ = await poll
    assert answer.status_code == 422
    assert answer.json()["code"] == "canceled"
    assert watch.own_seconds < 0.5


async def test_a_poll_after_the_end_is_not_held(client: httpx.AsyncClient, parked: str) -> None:
    await client.post(f"/api/v1/jobs/{parked}/cancel")
    for _ in range(4):
        answer, seconds = await polled(client, parked)
        assert answer.status_code == 422
        assert seconds < 0.25
        await asyncio.sleep(0.3)


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moving(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(clock, "monotonic", made)
    return made


def rhythm(polls: SteadyPolls, moving: Clock, *intervals: float) -> list[float]:
    """What each poll of a client that waits so long between answers and polls is held for."""
    held = []
    for interval in intervals:
        moving.now += interval
        seconds = polls.hold_seconds(REQUEST)
        held.append(seconds)
        moving.now += seconds
        polls.answered(REQUEST, final=False)
    return held


def test_a_rhythm_is_the_clients_own_however_long_it_was_held(moving: Clock) -> None:
    assert rhythm(SteadyPolls(), moving, 0, *[2.0] * 20) == pytest.approx([0, 0, *[2.0] * 19])


def test_no_rhythm_no_hold(moving: Clock) -> None:
    assert rhythm(SteadyPolls(), moving, 0, 1, 2, 4, 1, 3, 9) == [0] * 7
    assert rhythm(SteadyPolls(), moving, 0, 0, 0, 0) == [0] * 4


def test_a_slow_client_is_held_within_the_bound(moving: Clock) -> None:
    assert rhythm(SteadyPolls(), moving, 0, 60, 60, 60) == [0, 0, HELD_SECONDS_MAX, HELD_SECONDS_MAX]


def test_the_end_is_forgotten_and_memory_is_bounded(moving: Clock) -> None:
    polls = SteadyPolls()
    rhythm(polls, moving, 0, 1, 1)
    polls.answered(REQUEST, final=True)
    assert len(polls) == 0
    for number in range(KNOWN_MAX + 10):
        polls.answered((UUID(int=1), UUID(int=number)), final=False)
    assert len(polls) == KNOWN_MAX


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_never_longer_than_its_own_interval(intervals: list[float]) -> None:
    polls, moving = SteadyPolls(), Clock()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clock, "monotonic", moving)
        held = rhythm(polls, moving, *intervals)
    assert held[:2] == [0.0] * len(held[:2])
    assert all(
        seconds <= interval + 1e-6 and seconds <= HELD_SECONDS_MAX
        for seconds, interval in zip(held, intervals, strict=True)
    )
