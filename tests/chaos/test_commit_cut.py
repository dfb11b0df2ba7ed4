"""The database does as it is told, and its answer is lost: nobody is told a lie, and nothing is done twice."""

import contextlib

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove
from tests.chaos.proxy import Cut, cutting
from tests.chaos.stack import Plan, running
from tests.conftest import NewDatabase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ACCEPT = b"INSERT INTO jobs ("
CLAIM_QUEUED = b"cardinality($1::uuid[]) > 0"
OPEN = b"INSERT INTO attempts"
RECORD_SUBMIT = b"UPDATE attempts SET outcome = before.outcome"
CLAIM_RUNNING = b"extract(epoch FROM now() - jobs.gone_since)"
RECORD_POLL = b"polls = jobs.polls + 1"
COMMIT = b"COMMIT;"
"""Of a transaction that claims or ends jobs, or judges submits one by one."""
RENEW = b"AND job.finished_at IS NULL AND job.lease_until > now()"
LEARN = b"AS samples FROM"
ROUNDS_MAX = 60


async def test_lost_answers_of_the_database(form: Form, new_database: NewDatabase) -> None:
    """Nobody who had sent something was killed, so in the end everybody knows: all jobs are completed."""
    async with contextlib.AsyncExitStack() as entered:
        proxy = await entered.enter_async_context(cutting(await new_database(), chance=form.chance()))
        stack = await entered.enter_async_context(running(Plan(settings={"DATABASE_URL": proxy.url})))
        load = await entered.enter_async_context(contextlib.aclosing(Load(stack, seed=form.seed)))
        needles = (ACCEPT, CLAIM_QUEUED, OPEN, RECORD_SUBMIT, CLAIM_RUNNING, RECORD_POLL, COMMIT, RENEW)
        await stack.faults({"match": "submit", "fault": "delay", "seconds": 1.5, "probability": 0.1})
        proxy.cuts = tuple(Cut(needle, 0.15) for needle in (*needles, LEARN))
        for _ in range(ROUNDS_MAX):
            await load.run(seconds=form.pick(12, 10), per_second=25)
            each = all(proxy.cut[needle.decode()] for needle in needles)
            if each and proxy.cut.total() >= form.pick(1, 1000):
                break
        proxy.cuts = ()
        figures = await prove(stack, load)
        print(f"{proxy.cut.total()} answers cut at or after COMMIT, {len(load.submits)} jobs, 0 doubled, 0 missing")
        print(f"cut {dict(proxy.cut)}")
        assert set(figures["states"]) == {"completed"}
        assert all(submit.told == "acknowledged" for submit in load.submits)
        assert each, f"not within {ROUNDS_MAX} rounds"
