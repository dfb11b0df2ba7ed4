"""Jobs that really went to a simulator, moved by the engine's own statements, and reconciliations of them."""

import asyncio
from collections.abc import Awaitable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.core.database.db import Database
from app.core.database.session import Row
from app.jobs.claiming.claims import claim_running
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import PollRecord, SubmitRecord, observe_upstream_id, record_polls, record_submits
from app.jobs.models import ErrorCode, State
from app.ledger.decide import charge
from app.reconciliation.runs import Run, begin
from app.reconciliation.tasks.run import Reconciler, Report
from app.simulator.surface.serve import RunningSimulator
from app.upstream.account import AccountClient
from app.upstream.client import UpstreamClient
from app.upstream.history import HistoryClient
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from tests.factories.callers import Caller
from tests.factories.jobs import Engine

KEY = "SG_3ec0a235721add59"
DAY = timedelta(days=1)


class Books:
    """A tenant's jobs and the upstream they went to."""

    def __init__(self, *, database: Database, engine: Engine, caller: Caller, sim: RunningSimulator) -> None:
        self.database = database
        self.engine = engine
        self.caller = caller
        self.sim = sim
        self._told: Outcome | None = None
        self.upstream = UpstreamClient(
            url=sim.url, api_key=KEY, submit_connections_max=2, poll_connections_max=2, submit_seconds=5
        )
        self.account = AccountClient(url=sim.url, api_key=KEY, seconds=5)
        self.history = HistoryClient(url=sim.url, api_key=KEY, pause_seconds=0.01, page_seconds=5)

    def closing(self) -> Iterator[Awaitable[None]]:
        """What is to be awaited at the end."""
        return (part.close() for part in (self.upstream, self.account, self.history))

    async def start(
        self, model: str = "sim-instant", body: bytes = b'{"prompt":"a cat"}', **fields: Any
    ) -> tuple[UUID, str]:
        """A job that the upstream has accepted: its id, and the upstream's."""
        [job_id] = await self.engine.submit(self.caller, model=model, body=body, **fields)
        opened = await self.engine.open(await self.engine.claim(1))
        upstream_id = await self.send(model, body)
        told = self._told
        assert told is not None
        step = Step(State.RUNNING, "accepted", 0.0, upstream_state=UpstreamState.QUEUED)
        async with self.database.transaction() as session:
            await record_submits(session, records=[SubmitRecord(job_id, opened[job_id], step, told)])
        return job_id, upstream_id

    async def send(self, model: str = "sim-instant", body: bytes = b'{"prompt":"a cat"}') -> str:
        """Start something upstream that no job of ours knows about; its id there."""
        self._told = await self.upstream.submit(model=model, body=body, before_send=_nothing)
        assert self._told.upstream_id is not None, self._told
        return self._told.upstream_id

    async def end(self, job_id: UUID, upstream_id: str) -> None:
        """Fetch its result and record it, as the poller does."""
        for _ in range(500):
            told = await self.upstream.fetch(upstream_id)
            if told.kind is not OutcomeKind.RUNNING:
                break
            await asyncio.sleep(0.01)
        job = await self.engine.get(job_id)
        cost = told.metrics.cost_micro if told.metrics else None
        if told.kind is OutcomeKind.SUCCEEDED:
            step = Step(State.COMPLETED, "completed", None, body=told.body, upstream_state=UpstreamState.COMPLETED)
            charged = charge(
                price_rule=job["price_rule"], markup_micro=job["markup_micro"], held=job["held_micro"], cost=cost
            )
        else:
            step, charged = Step(State.FAILED, "failed", None, ErrorCode.UPSTREAM_FAILED, "it failed"), 0
        async with self.database.transaction() as session:
            rows = (await claim_running(session, owner=self.engine.owner, reads_max=100, lease_seconds=30)).rows
            [fence] = [row.fence for row in rows if row.id == job_id]
            await record_polls(session, records=[PollRecord(job_id, fence, step, 0.01, 0.01, cost, charged, ())])

    async def run(self, model: str = "sim-instant", **fields: Any) -> tuple[UUID, str]:
        """A job from its acceptance to its end."""
        job_id, upstream_id = await self.start(model, **fields)
        await self.end(job_id, upstream_id)
        return job_id, upstream_id

    async def observe(self, job_id: UUID, upstream_id: str) -> None:
        """An id that came too late to be the job's own."""
        async with self.database.statement() as session:
            await observe_upstream_id(
                session, job_id=job_id, attempt=1, upstream_id=upstream_id, worker=self.engine.owner
            )

    async def begin(self, *, settle_seconds: float = -1.0) -> Run:
        """A run over the last day, up to so long ago."""
        async with self.database.transaction() as session:
            now = await session.fetchval("SELECT now()")
            until = now - timedelta(seconds=settle_seconds)
            return await begin(session, asked_by="test", since=until - DAY, until=until)

    async def reconcile(self, *, settle_seconds: float = -1.0, **given: Any) -> Report:
        """Compare everything up to so long ago."""
        reconciler = Reconciler(
            database=self.database, account=self.account, history=given.pop("history", self.history),
            charge_slack_seconds=given.pop("charge_slack_seconds", 0.5), **given,
        )  # fmt: skip
        return await reconciler.reconcile(await self.begin(settle_seconds=settle_seconds))

    async def open(self) -> list[dict[str, Any]]:
        """Open discrepancies as dashboards see them, oldest first."""
        rows = await self.rows(
            "SELECT * FROM ops.discrepancies WHERE settled_at IS NULL AND accepted_at IS NULL ORDER BY discrepancy_id"
        )
        return [dict(row) for row in rows]

    async def rows(self, sql: str, *args: object) -> list[Row]:
        async with self.database.snapshot() as session:
            return await session.fetch(sql, *args)

    async def change(self, sql: str, *args: object) -> None:
        """Tamper, as far as the service may."""
        async with self.database.statement() as session:
            await session.execute(sql, *args)

    async def balance(self) -> dict[str, int]:
        """The tenant's row."""
        [row] = await self.rows("SELECT * FROM balances WHERE tenant_id = $1", self.caller.tenant.id)
        return dict(row)


async def _nothing() -> None:
    """Nothing to commit first."""
