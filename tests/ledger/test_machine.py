"""Any sequence of what may happen to a balance ends, step by step, where the plain model ends, to the micro-credit."""

import asyncio
import os
import random
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from app.core.database.db import Database
from app.core.database.session import Session
from app.core.ids import new_id
from app.ledger.accounts import expire_due, lock_accounts
from app.ledger.decide import Hold
from app.ledger.holds import hold
from app.ledger.operations import OverdraftExceeded, ReferenceTaken, adjust, grant, set_overdraft
from app.ledger.queries import FOLD_PART
from app.ledger.settling import Settlement, settle
from app.ops.money import OF_MONEY
from app.tenants.operations import create_tenant
from tests.ledger.model import Model

SEQUENCES = int(os.environ.get("LEDGER_SEQUENCES", "1000" if os.environ.get("CHAOS_LONG") else "250"))
STEPS = 30
SEED = int(os.environ.get("LEDGER_SEED", str(random.randrange(2**32))))
FUTURE, PAST = datetime(2100, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC)
AMOUNTS = st.integers(1, 1_000)
T = TypeVar("T")


class Ledger(RuleBasedStateMachine):
    """One tenant; time is a number of seconds that a rule moves on."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[Database]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.now = 0
        self.number = 0
        self.jobs: dict[int, UUID] = {}
        self.lots: dict[int, UUID] = {}
        self.tenant_id = self.write(self._tenant())

    def write(self, steps: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(steps)

    async def _tenant(self) -> UUID:
        async with self.database.transaction() as session:
            return (await create_tenant(session, name=f"t{uuid4().hex}")).id

    def next(self) -> int:
        self.number += 1
        return self.number

    @rule(amount=AMOUNTS, lasts=st.none() | st.integers(1, 20))
    def grant(self, amount: int, lasts: int | None) -> None:
        number = self.next()
        expires_at = None if lasts is None else FUTURE + timedelta(seconds=self.now + lasts, microseconds=number)

        async def steps() -> UUID:
            async with self.database.transaction() as session:
                made, new = await grant(
                    session, tenant_id=self.tenant_id, amount_micro=amount, reference=str(number), expires_at=expires_at
                )
                again = await grant(
                    session, tenant_id=self.tenant_id, amount_micro=amount, reference=str(number), expires_at=expires_at
                )
                assert new
                assert again == (made, False)
                with pytest.raises(ReferenceTaken):
                    await grant(session, tenant_id=self.tenant_id, amount_micro=amount + 1, reference=str(number))
                return made.id

        grant_id = self.write(steps())
        self.model.grant(amount, lot=None if lasts is None else number, expires_at=self.now + (lasts or 0))
        if lasts is not None:
            self.lots[number] = grant_id

    @rule(amount=AMOUNTS, gain=st.booleans())
    def adjust(self, amount: int, gain: bool) -> None:
        signed = amount if gain else -amount

        async def steps() -> bool:
            async with self.database.transaction() as session:
                try:
                    await adjust(session, tenant_id=self.tenant_id, amount_micro=signed, note="why not")
                except OverdraftExceeded:
                    return False
                return True

        assert self.write(steps()) == self.model.adjust(signed)

    @rule(amount=st.integers(0, 500))
    def overdraft(self, amount: int) -> None:
        async def steps() -> bool:
            async with self.database.transaction() as session:
                try:
                    await set_overdraft(session, tenant_id=self.tenant_id, overdraft_micro=amount)
                except OverdraftExceeded:
                    return False
                return True

        fits = self.model.available >= -amount
        assert self.write(steps()) == fits
        if fits:
            self.model.overdraft = amount

    @rule(amounts=st.lists(st.integers(0, 600), min_size=1, max_size=3))
    def hold(self, amounts: list[int]) -> None:
        numbers = [self.next() for _ in amounts]
        holds = [Hold(new_id(), self.tenant_id, None, amount) for amount in amounts]

        async def steps() -> list[bool]:
            async with self.database.transaction() as session:
                accounts = await lock_accounts(session, tenant_ids=[self.tenant_id])
                admitted = [accounts[self.tenant_id].admit(one) is None for one in holds]
                await hold(
                    session, accounts=accounts, holds=[one for one, yes in zip(holds, admitted, strict=True) if yes]
                )
                return admitted

        admitted = self.write(steps())
        assert admitted == [self.model.hold(*one) for one in zip(numbers, amounts, strict=True)]
        self.jobs |= {
            number: one.job_id for number, one, yes in zip(numbers, holds, admitted, strict=True) if yes
        }  # fmt: skip

    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        if not self.jobs:
            return
        some = data.draw(st.lists(st.sampled_from(sorted(self.jobs)), min_size=1, max_size=3, unique=True))
        charges = {
            number: data.draw(st.just(None) | st.integers(0, self.model.holds[number]), label=f"charge of {number}")
            for number in sorted(some)
        }

        async def steps() -> None:
            async with self.database.transaction() as session:
                await settle(session, settlements=[self._settlement(*one) for one in charges.items()])

        self.write(steps())
        for number, charge in charges.items():
            self.model.resolve(number, charge or 0)
            del self.jobs[number]

    def _settlement(self, number: int, charge: int | None) -> Settlement:
        """None: it FAILED."""
        return Settlement(
            job_id=self.jobs[number], tenant_id=self.tenant_id, key_id=None, model="m",
            outcome="failed" if charge is None else "completed", ended_at=FUTURE, held=self.model.holds[number],
            charged=charge or 0, cost=None, run_seconds=None,
        )  # fmt: skip

    @rule(seconds=st.integers(1, 10))
    def time_goes_by(self, seconds: int) -> None:
        self.now += seconds
        over = [number for number, at in self.model.expiry.items() if at <= self.now and number in self.lots]

        async def steps() -> None:
            async with self.database.transaction() as session:
                for number in over:
                    await _let_expire(session, self.lots.pop(number))
            async with self.database.transaction() as session:
                await expire_due(session, lots_max=100)

        if over:
            self.write(steps())
        self.model.expire(self.now)

    @invariant()
    def the_balance_is_the_model(self) -> None:
        async def steps() -> tuple[Any, Any]:
            async with self.database.snapshot() as session:
                row = await session.fetchrow("SELECT * FROM balances WHERE tenant_id = $1", self.tenant_id)
                one = "WITH transfers AS (SELECT * FROM public.transfers WHERE tenant_id = $1) "
                return row, await session.fetchrow(f"{one} {FOLD_PART.text}", self.tenant_id)

        row, fold = self.write(steps())
        model = self.model
        said = (row["granted"], row["posted"], row["held"], row["overdraft"], row["expiring"])
        assert said == (model.granted, model.posted, model.held, model.overdraft, model.expiring)
        assert fold is None or (fold["granted"], fold["posted"], fold["held"]) == said[:3]


async def _let_expire(session: Session, lot_id: UUID) -> None:
    """Bring a lot's end from the far future to the past, in the same order."""
    await session.execute("UPDATE lots SET expires_at = $2::timestamptz + (expires_at - $3) WHERE id = $1",
                          lot_id, PAST, FUTURE)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_sequence_ends_where_the_model_does(url_for_machine: str, capsys: pytest.CaptureFixture[str]) -> None:
    with asyncio.Runner() as runner:
        Ledger.runner = runner
        Ledger.database = runner.run(Database.open(url_for_machine, name="test", writers_max=2, readers_max=1))
        counted = settings(
            max_examples=SEQUENCES, stateful_step_count=STEPS, deadline=None, database=None,
            suppress_health_check=list(HealthCheck), print_blob=True,
        )  # fmt: skip
        try:
            run_state_machine_as_test(seed(SEED)(Ledger), settings=counted)
            proofs = runner.run(_proved(Ledger.database))
        finally:
            runner.run(Ledger.database.close())
    with capsys.disabled():
        print(f" {SEQUENCES} sequences of {STEPS} steps, LEDGER_SEED={SEED}: 0 divergences")
    assert {name: wrong for name, wrong in proofs.items() if wrong} == {}


async def _proved(database: Database) -> dict[str, int]:
    """How much is wrong by what `verify` asks of money alone; there are no jobs here."""
    async with database.snapshot() as session:
        wanted = [one for one in OF_MONEY if one.name in ("balances", "available", "resolutions", "lots", "usage")]
        return {one.name: (await one.count(session)).wrong for one in wanted}
