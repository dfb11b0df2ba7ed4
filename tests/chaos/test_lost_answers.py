"""Answers of the upstream that are lost on the way: exactly those submits are unknown, and none is sent again."""

import contextlib
import hashlib

import orjson
import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Plan, Stack, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RULES = (
    {"match": "submit", "fault": "lose_answer", "after": "nothing", "how": "close", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "nothing", "how": "reset", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "header", "how": "close", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "header", "how": "reset", "probability": 0.03},
    {"match": "submit", "fault": "reset", "probability": 0.03},
    {"match": "submit", "fault": "close", "probability": 0.03},
)


async def _unknown(stack: Stack) -> set[str]:
    rows = await stack.fetch(
        "SELECT sha256(body) AS hash FROM jobs JOIN job_inputs ON job_id = id WHERE state = 'unknown'"
    )
    return {row["hash"].hex() for row in rows}


async def test_exactly_the_lost_ones_are_unknown(form: Form) -> None:
    async with running(Plan()) as stack, contextlib.aclosing(Load(stack, seed=form.seed)) as load:
        await stack.faults(*RULES)
        for _ in range(form.pick(8, 200)):
            await load.submit_many(50)
        await settled(stack)
        spoilt = {fact["body_sha256"] for fact in stack.book().facts("fault")}
        assert len(spoilt) > 10
        assert await _unknown(stack) == spoilt
        figures = await prove(stack, load)
        assert figures["states"]["completed"] == len(load.submits) - len(spoilt)
        await _half_a_body_is_enough(stack, load)
        await _a_refused_connection_is_no_loss(stack, load)


async def _half_a_body_is_enough(stack: Stack, load: Load) -> None:
    """What broke off after it had named the id did arrive, and we know as what."""
    await stack.faults({"match": "submit", "fault": "lose_answer", "after": "body", "how": "reset"})
    submits = await load.submit_many(10)
    await settled(stack)
    hashes = {hashlib.sha256(orjson.dumps({"echo": {"marker": submit.marker}})).hexdigest() for submit in submits}
    assert not hashes & await _unknown(stack)
    await prove(stack, load)
    await stack.faults()


async def _a_refused_connection_is_no_loss(stack: Stack, load: Load) -> None:
    before = len(await _unknown(stack))
    stack.kill("simulator")
    await load.submit_many(10)
    await settled(stack)
    assert len(await _unknown(stack)) == before
    rows = await stack.fetch(
        "SELECT detail, count(*) AS n FROM upstream_exchanges WHERE outcome = 'not_sent' GROUP BY 1"
    )
    assert {row["detail"] for row in rows} == {"connect_refused"}
    assert sum(row["n"] for row in rows) >= 10
    await prove(stack, load)
