"""When nothing is sent, what is refused, and what becomes of a lost answer."""

import asyncio
import json
import signal
import subprocess

import pytest

from app.core.database.db import Database
from app.probe.queries import list_lost_probes
from app.simulator.surface.serve import RunningSimulator
from tests.command import COLD, ROOT, SECONDS_MAX, environment
from tests.probe.conftest import Probe
from tests.reconciliation.books import Books

LOST = {"match": "submit", "fault": "lose_answer", "count": 1}


async def state(database: Database) -> list[tuple[str, bool, str | None]]:
    async with database.snapshot() as session:
        rows = await session.fetch("SELECT outcome, sent_at IS NOT NULL, upstream_id FROM probes ORDER BY id")
    return [tuple(row) for row in rows]


async def test_nothing_is_sent_without_a_price_or_an_input(
    probe: Probe, database: Database, sim: RunningSimulator
) -> None:
    assert "costs 0.020000 credits, and --max-cost allows 0.010000" in (await probe("sim-text", cost="0.01"))["error"]
    assert "waystation model set sim-echo --price" in (await probe("sim-echo"))["error"]
    assert "--input NAME=VALUE" in (await probe("sim-text", example=True))["error"]
    assert "expected credits" in (await probe("sim-text", cost="cheap"))["error"]
    assert "expected NAME=VALUE" in (await probe("sim-text", "--input", "prompt"))["error"]
    assert await state(database) == []
    assert not list(sim.simulator.runs)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"status": 401, "error": "Unauthorized"}, "WAYSTATION_UPSTREAM_API_KEY"),
        ({"status": 402, "error": "Insufficient credits. You have 12.345678 credits."}, "too few credits (HTTP 402)"),
        ({"status": 404, "error": "Model information not found"}, "has no model sim-text"),
        ({"status": 406, "error": "A value was rejected, see https://x.test/?token=abcdef"}, "HTTP 406"),
        ({"status": 429, "error": "slow down", "headers": {"retry-after": "7"}}, "try again in 7 s"),
    ],
)
async def test_what_the_upstream_refuses(
    probe: Probe, database: Database, sim: RunningSimulator, fault: dict[str, object], said: str
) -> None:
    sim.set_faults({"match": "submit", "fault": "answer", **fault})
    told = await probe("sim-text")
    assert (told["exit_code"], told["outcome"], len(told["notes"])) == (1, "refused", 1)
    assert said in told["notes"][0]
    assert not {"12.345678", "abcdef"} & set(json.dumps(told).replace('"', " ").split())
    assert await state(database) == [("refused", True, None)]


async def test_an_upstream_that_is_away(probe: Probe, database: Database) -> None:
    told = await probe("sim-text", UPSTREAM_URL="http://127.0.0.1:1")
    assert (told["exit_code"], told["outcome"]) == (1, "not_sent")
    assert await state(database) == [("not_sent", False, None)]


@pytest.mark.slow
async def test_a_lost_answer_is_found_in_the_history(probe: Probe, database: Database, sim: RunningSimulator) -> None:
    sim.set_faults(LOST)
    told = await probe("sim-text")
    [upstream_id] = sim.simulator.runs
    assert (told["outcome"], told["upstream_id"], told["exit_code"]) == ("completed", upstream_id, 0)
    assert "whether it has started is unknown" in told["notes"][0]
    assert await state(database) == [("completed", True, upstream_id)]


@pytest.mark.slow
async def test_a_lost_answer_that_two_requests_fit(probe: Probe, database: Database, sim: RunningSimulator) -> None:
    sim.set_faults({"match": "submit", "fault": "double_start", "count": 1})
    await probe("sim-text", "--patience", "0.1")
    sim.set_faults(LOST)
    told = await probe("sim-text", "--patience", "2")
    assert (told["outcome"], told["upstream_id"], told["exit_code"]) == ("unknown", None, 1)
    assert "given up after 2 s" in told["notes"][-1]
    async with database.snapshot() as session:
        since, until = await session.fetchrow("SELECT now() - interval '1 hour', now() + interval '1 hour'") or ()
        [lost] = await list_lost_probes(session, since=since, until=until)
    assert (lost.model, lost.body) == ("sim-text", {"prompt": "a cat"})


@pytest.mark.slow
async def test_a_job_that_does_not_end(probe: Probe, database: Database, sim: RunningSimulator) -> None:
    told = await probe("sim-hang", "--patience", "2")
    assert (told["outcome"], told["exit_code"]) == ("unknown", 1)
    assert told["notes"] == ["given up after 2 s: the job has not ended"]
    assert told["facts"]["history_shows_pending"] is True
    [run] = sim.simulator.runs
    assert await state(database) == [("unknown", True, run)]


@pytest.mark.slow
async def test_ctrl_c_leaves_a_row_that_says_what_is_known(
    probe: Probe, settings: dict[str, str], database: Database, sim: RunningSimulator
) -> None:
    asked = ["doctor", "--probe", "sim-hang", "--max-cost", "0.05", "--input", "prompt=a cat"]
    process = subprocess.Popen([*COLD, *asked], cwd=ROOT, env=environment(settings), stderr=subprocess.PIPE, text=True)
    try:
        while not await state(database) or (await state(database))[0][2] is None:
            assert process.poll() is None
            await asyncio.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = await asyncio.to_thread(process.communicate, timeout=SECONDS_MAX)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "is not watched any more; its outcome is unknown" in stderr
    assert "Traceback" not in stderr
    [run] = sim.simulator.runs
    assert await state(database) == [("unknown", True, run)]


@pytest.mark.slow
async def test_it_says_that_it_cost_too_much(probe: Probe, sim: RunningSimulator) -> None:
    sim.set_faults({"match": "submit", "fault": "dear", "credits": 0.5})
    told = await probe("sim-text")
    assert (told["outcome"], told["cost"], told["exceeded"]) == ("completed", "0.500000", True)


@pytest.mark.slow
async def test_the_reconciliation_takes_no_probe_for_a_stranger(
    probe: Probe, books: Books, sim: RunningSimulator
) -> None:
    first = await books.reconcile()
    assert first.open == 0
    told = await probe("sim-text")
    assert told["outcome"] == "completed"
    assert (await books.reconcile()).open == 0
    sim.set_faults(LOST)
    told = await probe("sim-text", "--patience", "0.01", "--input", "prompt=a dog", UPSTREAM_HISTORY_URL="")
    assert (told["outcome"], told["upstream_id"]) == ("unknown", None)
    assert (await books.reconcile()).open == 0
    known = await books.rows("SELECT upstream_id, cost_micro FROM probes WHERE outcome = 'unknown'")
    assert [row["upstream_id"] for row in known] == [list(sim.simulator.runs)[-1]]
    await books.send("sim-text", b'{"prompt":"a dog"}')
    report = await books.reconcile()
    assert [one["kind"] for one in await books.open()].count("not_ours") == 1, report
