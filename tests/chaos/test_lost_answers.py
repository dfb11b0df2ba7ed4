"""Answers of the upstream that are lost on the way: exactly those submits are unknown, and none is sent again."""

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.prove import prove, settled
from tests.chaos.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RULES = (
    {"match": "submit", "fault": "lose_answer", "after": "nothing", "how": "close", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "nothing", "how": "reset", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "header", "how": "close", "probability": 0.03},
    {"match": "submit", "fault": "lose_answer", "after": "header", "how": "reset", "probability": 0.03},
    {"match": "submit", "fault": "reset", "probability": 0.03},
    {"match": "submit", "fault": "close", "probability": 0.03},
)


async def _unknown(stack: Stack, load: Load) -> set[str]:
    rows = await stack.fetch(
        "SELECT sha256(body) AS hash FROM jobs JOIN job_inputs ON job_id = id WHERE state = 'unknown'"
    )
    return {row["hash"].hex() for row in rows} & load.hashes().keys()


async def test_exactly_the_lost_ones_are_unknown(victim: Stack, load: Load, form: Form) -> None:
    await victim.faults(*RULES)
    for _ in range(form.pick(8, 100)):
        await load.submit_many(50)
    await settled(victim)
    spoilt = {fact.get("body_sha256") for fact in victim.book().facts("fault")} & load.hashes().keys()
    assert len(spoilt) > 10
    assert await _unknown(victim, load) == spoilt
    figures = await prove(victim, load)
    assert figures["states"]["completed"] == len(load.submits) - len(spoilt)
    print(f"{len(spoilt)} answers lost of {len(load.submits)}: exactly those are unknown, 0 sent again")


async def test_half_a_body_is_enough(victim: Stack, load: Load) -> None:
    """What broke off after it had named the id did arrive, and we know as what."""
    await victim.faults({"match": "submit", "fault": "lose_answer", "after": "body", "how": "reset"})
    await load.submit_many(10)
    figures = await prove(victim, load)
    assert figures["states"] == {"completed": 10}


async def test_a_refused_connection_is_no_loss(victim: Stack, load: Load) -> None:
    victim.kill("simulator")
    submits = await load.submit_many(10)
    figures = await prove(victim, load)
    assert figures["states"] == {"completed": 10}
    rows = await victim.fetch(
        "SELECT DISTINCT 'job_' || replace(job_id::text, '-', '') AS shown, detail FROM upstream_exchanges"
        " WHERE outcome = 'not_sent'"
    )
    refused = {row["shown"] for row in rows if row["detail"] == "connect_refused"}
    assert {submit.request_id for submit in submits} <= refused
