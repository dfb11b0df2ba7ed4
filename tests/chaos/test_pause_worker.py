"""SIGSTOP of workers for three leases: whoever wakes up sends nothing it should not, and tells what it learned."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.armed import Armed
from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Plan, Stack, running, until, until_async

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LEASE_SECONDS = 1.0
UNKNOWN_MAX_SECONDS = 5.0
PLAN = Plan(
    workers=3,
    apis=1,
    settings={"LEASE_SECONDS": f"{LEASE_SECONDS:g}", "UNKNOWN_MAX_SECONDS": f"{UNKNOWN_MAX_SECONDS:g}"},
)
SLOW = "chaos-slow"

_OPENING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND query LIKE '%AS asked (id, fence)%job.fence, job.attempt,%'
"""
_IN_THEIR_WAY = """
INSERT INTO attempts (job_id, attempt, worker, sent_at) SELECT id, 1, id, now() FROM jobs WHERE state = 'queued'
"""
_OVER = re.compile(r'"event": "submit\.lease_expired"')


IN_CLAIM_SECONDS = 2.0
"""So long a worker that is stopped in mid-claim keeps the others waiting at most."""


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Armed:
    return Armed(tmp_path_factory.mktemp("paused") / "crash.plan")


@pytest.fixture(scope="module")
async def whole(armed: Armed) -> AsyncIterator[Stack]:
    settings = {**PLAN.settings, "TEST_CRASH_PLAN": str(armed.path)}
    async with running(replace(PLAN, settings=settings)) as stack:
        yield stack


async def test_workers_stopped_at_random_instants(victim: Stack, load: Load, form: Form) -> None:
    """One is left to act in their stead; nothing is lost, because whoever wakes up knows whether it had sent."""
    chance = form.chance()
    rounds = form.pick(3, 15)
    for _ in range(rounds):
        submits = asyncio.create_task(load.submit_many(40))
        await asyncio.sleep(chance.uniform(0, 0.25))
        stopped = chance.sample(victim.pids("worker"), 2)
        for pid in stopped:
            victim.pause_pid(pid)
        await asyncio.sleep(3 * LEASE_SECONDS)
        for pid in stopped:
            victim.resume_pid(pid)
        await submits
        await settled(victim, unknown=False)
    figures = await prove(victim, load)
    unknown = await victim.fetch("SELECT count(*) FROM job_events WHERE to_state = 'unknown'")
    print(
        f"{2 * rounds} workers stopped for three leases at random instants, 0 violations; {_lease_over(victim)} submits"
        f" held back because their lease was over, {unknown[0][0]} unknown for a while"
    )
    assert set(figures["states"]) == {"completed"}


async def test_stopped_between_the_attempt_and_its_first_byte(victim: Stack, load: Load, form: Form) -> None:
    """Their attempts are committed while they are stopped; they wake up late, send nothing, and say so."""
    over = _lease_over(victim)
    rounds = form.pick(2, 10)
    for _ in range(rounds):
        await _opened_while_stopped(victim, load)
        await settled(victim, unknown=False)
    figures = await prove(victim, load)
    assert set(figures["states"]) == {"completed"}
    held_back = _lease_over(victim) - over
    assert held_back == figures["attempts"]["not_sent"] > 0
    print(f"{rounds} times all workers stopped before a first byte: {held_back} submits held back, 0 sent")


def _lease_over(stack: Stack) -> int:
    """How often a worker held back at the last moment."""
    return sum(len(_OVER.findall(stack.log(f"worker-{number}"))) for number in range(stack.plan.workers))


async def _opened_while_stopped(stack: Stack, load: Load) -> None:
    """Workers wait for attempts to be committed, and all are stopped; then the commits go through."""
    async with stack.database() as holder, stack.database() as other:
        await other.execute("UPDATE upstream_state SET paused_reason = 'account', paused_until = 'infinity'")
        await load.submit_many(12)
        blocking = holder.transaction()
        await blocking.start()
        await holder.execute(_IN_THEIR_WAY)
        await other.execute("UPDATE upstream_state SET paused_reason = NULL, paused_until = NULL")

        async def opening() -> bool:
            return bool(await other.fetchval(_OPENING))

        await until_async(opening, "attempts wait to be opened")
        stopped = stack.pids("worker")
        for pid in stopped:
            stack.pause_pid(pid)
        await blocking.rollback()
        await asyncio.sleep(3 * LEASE_SECONDS)
    for pid in stopped:  # the first ones sweep while the last ones are stopped
        await asyncio.sleep(0.7)
        stack.resume_pid(pid)


async def test_an_answer_that_is_learned_late(victim: Stack, load: Load, form: Form) -> None:
    """An unknown job that is still waited for becomes running; the id of one that has ended is noted."""
    await victim.faults({"match": "submit", "slug": SLOW, "fault": "delay", "seconds": 2.0})
    rounds = form.pick(1, 50)
    for _ in range(rounds):
        await _stopped_in_mid_submit(victim, load, seconds=3 * LEASE_SECONDS)
        await settled(victim, unknown=False)
        states = await victim.fetch("SELECT state, count(*) AS n FROM jobs WHERE model = $1 GROUP BY 1", SLOW)
        assert [row["state"] for row in states] == ["completed"]
    before = await victim.fetch("SELECT id FROM jobs")
    await _stopped_in_mid_submit(victim, load, seconds=LEASE_SECONDS + UNKNOWN_MAX_SECONDS + 2)

    async def noted() -> bool:
        rows = await victim.fetch(
            "SELECT count(*) FROM jobs LEFT JOIN upstream_observations ON job_id = jobs.id"
            " WHERE jobs.id <> ALL($1::uuid[]) AND (error_code = 'submission_unknown') = (job_id IS NOT NULL)",
            [row["id"] for row in before],
        )
        return bool(rows[0][0] == 8)

    await until_async(noted, "all late ids are noted")
    figures = await prove(victim, load)
    assert figures["observed"] >= 1
    assert figures["codes"]["submission_unknown"] == figures["observed"]
    print(f"{rounds} times two workers stopped in mid-submit for three leases: every job completed, 0 started twice")


async def _stopped_in_mid_submit(stack: Stack, load: Load, *, seconds: float) -> None:
    """Eight submits wait for their answer when those who wait are stopped; one worker is left to act."""
    await load.submit_many(8, model=SLOW)

    async def waiting() -> bool:
        rows = await stack.fetch("SELECT count(*) FROM attempts WHERE outcome IS NULL")
        return bool(rows[0][0] == 8)

    await until_async(waiting, "eight submits wait for their answer")
    rows = await stack.fetch(
        "SELECT pid, count(*) FROM attempts JOIN processes ON id = worker WHERE outcome IS NULL GROUP BY 1 ORDER BY 2"
    )
    stopped = [row["pid"] for row in rows][-2:]
    for pid in stopped:
        stack.pause_pid(pid)
    await asyncio.sleep(seconds)
    for pid in stopped:
        stack.resume_pid(pid)


@pytest.mark.parametrize("point", ["dispatch.in_claim", "poll.in_claim"])
async def test_stopped_in_mid_claim(victim: Stack, load: Load, form: Form, armed: Armed, point: str) -> None:
    """The others claim on within two seconds, and complete what comes; whoever wakes up has claimed nothing."""
    chance = form.chance()
    for _ in range(form.pick(1, 10)):
        armed.arm(point, how="stop", skip=chance.choice([0, 1]))
        submits = asyncio.create_task(_submitted_until(armed.carried_out, load))
        await until(armed.carried_out, "a worker has come to the point")
        await until(lambda: bool(_stopped(victim)), "it is stopped")
        async with victim.database() as connection, asyncio.timeout(IN_CLAIM_SECONDS), connection.transaction():
            await connection.execute("SELECT FROM upstream_state FOR UPDATE")
        await submits
        await _completed_by_the_others(victim, load)
        for pid in _stopped(victim):
            victim.resume_pid(pid)
        await settled(victim, unknown=False)
    figures = await prove(victim, load)
    assert set(figures["codes"]) <= {"submission_unknown"}, "what it had on the wire when it was stopped"


async def _submitted_until(holds: Callable[[], bool], load: Load) -> None:
    """Twelve jobs, and twelve more for as long as it does not hold: one claim may take all that is there."""
    await load.submit_many(12)
    while not holds():
        await load.submit_many(12)


async def _completed_by_the_others(stack: Stack, load: Load) -> None:
    """Submit twelve jobs, and wait until they are completed."""
    before = [row["id"] for row in await stack.fetch("SELECT id FROM jobs")]
    await load.submit_many(12)

    async def completed() -> bool:
        rows = await stack.fetch("SELECT bool_and(state = 'completed') FROM jobs WHERE id <> ALL($1::uuid[])", before)
        return bool(rows[0][0])

    await until_async(completed, "the others complete what comes")


def _stopped(stack: Stack) -> list[int]:
    """Workers that have stopped themselves."""
    return [pid for pid in stack.pids("worker") if _state(pid) == "T"]


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
