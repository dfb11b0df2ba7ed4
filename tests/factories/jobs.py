"""Jobs in every state, moved there by the engine's own statements, with no worker about."""

import dataclasses
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.core import clock
from app.core.database.db import Database
from app.core.database.session import Row
from app.core.ids import new_id
from app.jobs.claiming.claims import hand_back, open_attempts
from app.jobs.claiming.decide import Step
from app.jobs.claiming.records import SubmitRecord, record_late, record_submits
from app.jobs.claiming.turns import BEYOND_MIN, ClaimedJob, claim_queued
from app.jobs.engine.sweeps import promote, release_expired_claims
from app.jobs.models import State
from app.jobs.operations import Submission, submit_jobs
from app.jobs.queues import lock_places
from app.ledger.accounts import lock_accounts
from app.ledger.decide import Hold
from app.ledger.holds import hold
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState
from tests.factories.callers import Caller

MODEL = "motionctrl-svd"
LEASE_SECONDS = 30.0
SUBMISSION = Submission(
    id=UUID(int=0), tenant_id=UUID(int=0), key_id=UUID(int=0), surface="native", model=MODEL, priority=5,
    created_at=clock.now(), not_before=None, deadline_at=None, idempotency_key=None, fingerprint=None, body=b"{}",
    metadata=None, held_micro=100_000, price_rule="metered", markup_micro=1_000_000,
)  # fmt: skip


class Engine:
    """One worker's hand on the database, without its loop: claims, opens attempts, records."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = new_id()

    async def submit(self, caller: Caller, number: int = 1, **fields: Any) -> list[UUID]:
        """Jobs as accepted, queued and due; in order of their age."""
        began = clock.now() - timedelta(seconds=60)
        asked = [
            dataclasses.replace(
                SUBMISSION,
                id=new_id(),
                tenant_id=caller.tenant.id,
                key_id=caller.key.id,
                created_at=began + timedelta(milliseconds=at),
            )
            for at in range(number)
        ]
        submissions = [dataclasses.replace(one, **fields) for one in asked]
        async with self.database.transaction() as session:
            await lock_places(session, subject_ids=[caller.tenant.id, caller.key.id], lock_seconds=10)
            accounts = await lock_accounts(session, tenant_ids=[caller.tenant.id])
            await submit_jobs(session, submissions=submissions)
            holds = [Hold(one.id, one.tenant_id, one.key_id, one.held_micro) for one in submissions]
            await hold(session, accounts=accounts, holds=holds)
        return [one.id for one in asked]

    async def claim(self, most: int = 64, lease_seconds: float = LEASE_SECONDS) -> list[ClaimedJob]:
        """Queued jobs, after a sweep has put in line what belongs there."""
        async with self.database.statement() as session:
            await release_expired_claims(session, lease_seconds=lease_seconds)
        async with self.database.statement() as session:
            await promote(session)
        await self.fill_budget()
        beyond = 0
        while True:
            async with self.database.transaction() as session:
                claimed = await claim_queued(
                    session, owner=self.owner, jobs_max=most, lease_seconds=lease_seconds, lookahead=beyond
                )
            if not claimed.hidden:
                return claimed.rows
            beyond = 2 * beyond + BEYOND_MIN

    async def fill_budget(self) -> None:
        """The upstream takes whatever is sent."""
        async with self.database.statement() as session:
            await session.execute("UPDATE upstream_state SET rate = 10000, tokens = 2500, limit_per_minute = NULL")

    async def open(self, rows: Sequence[ClaimedJob], lease_seconds: float = LEASE_SECONDS) -> dict[UUID, int]:
        """Attempts of these claims."""
        async with self.database.statement() as session:
            opened = await open_attempts(
                session,
                owner=self.owner,
                claims=[(row.id, row.fence) for row in rows],
                lease_seconds=lease_seconds,
            )
        return {job_id: attempt for (job_id, _), attempt in opened.items()}

    async def record(self, job_id: UUID, attempt: int, outcome: OutcomeKind, **step: Any) -> list[Any]:
        """What came of one attempt; accepted gives the upstream id `up-<job>`."""
        accepted = outcome is OutcomeKind.ACCEPTED
        told = Outcome(outcome, 200, 0.1, "told", upstream_id=f"up-{job_id.hex}" if accepted else None)
        if accepted:
            step = {"to_state": State.RUNNING, "reason": "accepted", "upstream_state": UpstreamState.QUEUED} | step
        async with self.database.transaction() as session:
            records = [SubmitRecord(job_id, attempt, Step(due_seconds=0.0, **step), told)]
            settled = await record_submits(session, records=records)
            if settled.late:
                await record_late(session, worker=self.owner, records=settled.late)
        return settled.moved.rows

    async def sending(self, caller: Caller, number: int = 1, lease_seconds: float = LEASE_SECONDS) -> list[UUID]:
        """Jobs with an attempt on the wire. The queue must be empty of others."""
        job_ids = await self.submit(caller, number)
        opened = await self.open(await self.claim(number), lease_seconds)
        assert set(opened) == set(job_ids)
        return job_ids

    async def running(self, caller: Caller, number: int = 1) -> list[UUID]:
        """Jobs that the upstream has accepted, due to be asked about."""
        job_ids = await self.sending(caller, number)
        for job_id in job_ids:
            await self.record(job_id, 1, OutcomeKind.ACCEPTED)
        return job_ids

    async def unknown(self, caller: Caller, number: int = 1) -> list[UUID]:
        """Jobs that may have arrived."""
        job_ids = await self.sending(caller, number)
        for job_id in job_ids:
            await self.record(job_id, 1, OutcomeKind.UNKNOWN, to_state=State.UNKNOWN, reason="maybe_sent")
            await self.set(job_id, "due_at = now() + interval '1 hour'")
        return job_ids

    async def get(self, job_id: UUID) -> Row:
        """The job's row."""
        async with self.database.snapshot() as session:
            row = await session.fetchrow("SELECT *, due_at = 'infinity' AS aside FROM jobs WHERE id = $1", job_id)
        assert row is not None
        return row

    async def events(self, job_id: UUID) -> list[tuple[str | None, str, str]]:
        """(from, to, reason), in order."""
        async with self.database.snapshot() as session:
            rows = await session.fetch(
                "SELECT from_state, to_state, reason FROM job_events WHERE job_id = $1 ORDER BY seq", job_id
            )
        return [tuple(row) for row in rows]

    async def set(self, job_id: UUID, assignments: str) -> None:
        """Change the job's row by hand."""
        async with self.database.statement() as session:
            assert await session.execute(f"UPDATE jobs SET {assignments} WHERE id = $1", job_id) == 1

    async def hand_back(self) -> None:
        """This worker lets go of what it has claimed and not sent."""
        async with self.database.statement() as session:
            await hand_back(session, owner=self.owner)

    async def let_run_out(self) -> None:
        """Every lease has run out a moment ago, as after the death of all workers."""
        async with self.database.statement() as session:
            await session.execute("UPDATE jobs SET lease_until = now() - interval '1 ms' WHERE lease_until IS NOT NULL")


async def wrong(database: Database) -> dict[str, tuple[int, list[str]]]:
    """The invariants that do not hold: how many are wrong, and examples."""
    from app.ops.verify import prove

    async with database.snapshot() as session:
        return {p.invariant.name: (p.wrong, list(p.examples)) async for p in prove(session) if not p.holds}


def later(**parts: float) -> datetime:
    """An instant from now."""
    return clock.now() + timedelta(**parts)
