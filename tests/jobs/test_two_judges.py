"""Whether a group of jobs finds room and credit is judged in SQL, where that is plain, and else in Python, one by one: both
say the same of the same rows."""

import contextlib
import dataclasses
import random
from uuid import UUID

from app.core.database.db import Database
from app.core.database.session import Session
from app.core.ids import new_id
from app.jobs.operations import Submission, submit_jobs_that_fit
from app.jobs.queues import lock_places
from app.ledger.accounts import load_budgets, lock_accounts
from app.ledger.decide import Hold
from tests.factories.callers import Caller, make_caller
from tests.factories.jobs import SUBMISSION

TENANTS, GROUPS = 12, 200


class Undone(Exception):
    """Rolls a transaction back."""


async def change(session: Session, chance: random.Random, caller: Caller) -> bool:
    """Other counts, limits and credit; gives whether only Python judges them."""
    tenant_id, key_id = caller.tenant.id, caller.key.id
    if chance.random() < 0.6:  # a key with limits of its own
        await session.execute("INSERT INTO queues (subject_id, tenant_id) VALUES ($1, $2)", key_id, tenant_id)
    for subject_id in (tenant_id, key_id):
        queued = chance.randint(0, 6)
        limit = chance.choice([None, queued + chance.randint(-2, 4)])
        await session.execute(
            "UPDATE queues SET queued = $2, ready = 0, max_queued = $3 WHERE subject_id = $1", subject_id, queued, limit
        )
    posted, held, overdraft = (chance.choice([0, chance.randint(1, 9)]) for _ in range(3))
    available = chance.randint(-overdraft, 12)
    expires, budgeted = chance.random() < 0.15 and available > 0, chance.random() < 0.15
    await session.execute(
        "UPDATE balances SET granted = $2, posted = $3, held = $4, overdraft = $5, expiring = $6 WHERE tenant_id = $1",
        tenant_id, available + posted + held, posted, held, overdraft, int(expires),
    )  # fmt: skip
    if budgeted:
        await session.execute(
            "INSERT INTO budgets (subject_id, period, tenant_id, limit_micro, starts_on) VALUES ($1, 'day', $1, 8, 'today')",
            tenant_id,
        )
    return expires or budgeted


def draw(chance: random.Random, callers: list[Caller]) -> list[Submission]:
    """A group of up to twenty jobs, mostly of a few tenants."""
    askers = chance.sample(callers, chance.randint(1, 4))
    drawn = [(new_id(), chance.choice(askers)) for _ in range(chance.randint(1, 20))]
    return [
        dataclasses.replace(
            SUBMISSION, id=job_id, tenant_id=one.tenant.id, key_id=one.key.id, held_micro=chance.randint(0, 4)
        )
        for job_id, one in drawn
    ]


async def admitted(session: Session, group: list[Submission]) -> set[UUID]:
    """The tenants all of whose jobs Python lets through."""
    subject_ids = {one for item in group for one in (item.tenant_id, item.key_id)}
    places = await lock_places(session, subject_ids=subject_ids, lock_seconds=10)
    accounts = await lock_accounts(session, tenant_ids={one.tenant_id for one in group})
    await load_budgets(session, accounts=accounts, key_ids=[one.key_id for one in group])
    refused = set()
    for one in group:
        hold = Hold(one.id, one.tenant_id, one.key_id, one.held_micro)
        full = places.admit(tenant_id=one.tenant_id, key_id=one.key_id)
        if full is not None or accounts[one.tenant_id].admit(hold) is not None:
            refused.add(one.tenant_id)
        else:
            places.take(tenant_id=one.tenant_id, key_id=one.key_id)
    return {one.tenant_id for one in group} - refused


async def test_both_let_the_same_jobs_through(database: Database) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    callers = [await make_caller(database) for _ in range(TENANTS)]
    through = judged = 0
    for _ in range(GROUPS):
        group = draw(chance, callers)
        with contextlib.suppress(Undone):
            async with database.transaction() as session:
                longer_way = {one.tenant.id for one in callers if await change(session, chance, one)}
                by_python = await admitted(session, group)
                by_sql = await submit_jobs_that_fit(session, submissions=group, lock_seconds=10)
                assert by_sql == by_python - longer_way
                through, judged = through + len(by_sql), judged + len({one.tenant_id for one in group} - longer_way)
                raise Undone
    assert 0.2 * judged < through < 0.8 * judged, "both verdicts come about"
