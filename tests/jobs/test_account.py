"""What is made of an answer about our account, while Postgres is away and where the balance cannot be had."""

import asyncio
from typing import Any

import pytest

from app.core.database.db import Database, StoreUnavailable
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.observing.account import AccountJudgment, AccountWatch
from app.upstream.account import UpstreamCredits
from app.upstream.readings import NotRead
from app.upstream.wire import Outcome, OutcomeKind
from tests.doubles.forwarder import forwarding
from tests.factories.callers import Caller
from tests.factories.jobs import Engine

CREDITS = UpstreamCredits(1_000_000_000, 0)


class Account:
    """Stands in for the upstream's account."""

    def __init__(self, told: UpstreamCredits | NotRead | None) -> None:
        self.told = told

    async def credits(self) -> UpstreamCredits | None:
        if isinstance(self.told, NotRead):
            raise self.told
        return self.told


def refusal(status: int, detail: str = "", *, in_json: bool = False, error: str | None = None) -> Outcome:
    return Outcome(OutcomeKind.ACCOUNT, status, 0.1, detail or f"http_{status}", error=error, in_json=in_json)


def away(detail: str) -> NotRead:
    return NotRead(detail, transient=True)


@pytest.mark.parametrize(
    ("outcome", "told", "verdict"),
    [
        (refusal(401, in_json=True), CREDITS, AccountJudgment.BELIEVED),
        (refusal(402, in_json=True), CREDITS, AccountJudgment.BELIEVED),
        (refusal(401), CREDITS, AccountJudgment.REJECTED),
        (refusal(401), None, AccountJudgment.REJECTED),
        (refusal(401), UpstreamCredits(0, 0), AccountJudgment.REJECTED),
        (refusal(402), CREDITS, AccountJudgment.REJECTED),
        (refusal(402), UpstreamCredits(0, 0), AccountJudgment.BELIEVED),
        (refusal(401), away("http_401"), AccountJudgment.BELIEVED),
        (refusal(402), away("http_403"), AccountJudgment.BELIEVED),
        (refusal(401), away("http_503"), AccountJudgment.DOUBTED),
        (refusal(402), away("connect_refused"), AccountJudgment.DOUBTED),
        (refusal(406, "half_body"), CREDITS, AccountJudgment.DOUBTED),
        (refusal(402, "half_body"), UpstreamCredits(0, 0), AccountJudgment.BELIEVED),
    ],
)
async def test_what_is_not_in_json_is_believed_where_the_account_says_the_same(
    database: Database, engine: Engine, caller: Caller, outcome: Outcome, told: Any, verdict: AccountJudgment
) -> None:
    [job_id] = await engine.sending(caller)
    account: Any = Account(told)
    row = ClaimedJob(job_id, caller.tenant.id, 1, "m", 0, 0, b"{}")
    assert await AccountWatch(database, account).judge(outcome, row) is verdict


@pytest.mark.parametrize("outcome", [refusal(406, in_json=True, error="Insufficient credits"), refusal(402)])
async def test_an_answer_is_not_forgotten_while_postgres_is_away(
    url: str, engine: Engine, caller: Caller, outcome: Outcome
) -> None:
    [job_id] = await engine.sending(caller)
    account: Any = Account(CREDITS)
    row = ClaimedJob(job_id, caller.tenant.id, 1, "m", 0, 0, b"{}")
    async with forwarding(url) as forwarder:
        database = await Database.open(forwarder.url, name="tests", writers_max=1, readers_max=1)
        try:
            forwarder.cut()
            with pytest.raises(StoreUnavailable):
                await database.prove()
            judging = asyncio.create_task(AccountWatch(database, account).judge(outcome, row))
            done, _ = await asyncio.wait([judging], timeout=0.5)
            assert not done
            forwarder.mend()
            assert await asyncio.wait_for(judging, 30) in (AccountJudgment.DOUBTED, AccountJudgment.REJECTED)
        finally:
            await database.close()
