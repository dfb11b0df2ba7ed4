"""Sending: connect, open an attempt, send the submit, and record its outcome."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from app.core import clock
from app.core.crash import crash_point
from app.core.database.db import Database, retry_until_stored
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.process.pump import Pump
from app.core.redis.doorbell import Doorbell
from app.jobs.claiming.claims import open_attempts, release_claims
from app.jobs.claiming.decide import Step, after_submit, believed
from app.jobs.claiming.lease import Claim, Leases
from app.jobs.claiming.recording import open_recorder
from app.jobs.claiming.records import Settled, SubmitRecord, record_late, record_submits
from app.jobs.claiming.trouble import JobTrouble
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.engine.taken_id import claim_taken_id, record_late_id
from app.jobs.models import FINAL, State
from app.jobs.observing.account import AccountJudgment, AccountWatch
from app.jobs.observing.discretion import Discretion
from app.jobs.observing.evidence import is_forbidden
from app.jobs.observing.forbidden import ForbiddenModels
from app.jobs.observing.learn import RunTimes
from app.jobs.observing.meter import Meter
from app.upstream.client import UpstreamClient
from app.upstream.wire import Outcome, OutcomeKind

log = get_logger(__name__)

GROUP_MAX = 100
LINGER_SECONDS = 0.002


class ClaimLost(Exception):
    """The job was canceled, or claimed by another worker, before it was sent. Nothing was sent."""


class LeaseOver(Exception):
    """The attempt is open, but the lease has expired: this process must not send."""


class JobSender:
    """Sends claimed jobs and records the outcomes. `poller_pump` is rung when a first poll is due. `opened` is called with the last
    attempt of each group, after its commit and before it is sent."""

    def __init__(
        self,
        *,
        database: Database,
        upstream: UpstreamClient,
        leases: Leases,
        run_times: RunTimes,
        doorbell: Doorbell,
        meter: Meter,
        account: AccountWatch,
        forbidden: ForbiddenModels,
        discretion: Discretion,
        trouble: JobTrouble,
        unknown_max_seconds: float,
        dispatch: Pump,
        again_in: Callable[[float], None],
    ) -> None:
        """`dispatch`: rung if there is room for more jobs. `again_in`: called with the seconds until a requeued job is due."""
        self.poller_pump: Pump | None = None
        self.opened: Callable[[UUID, int], None] | None = None
        self._database = database
        self._upstream = upstream
        self._leases = leases
        self._run_times = run_times
        self._doorbell = doorbell
        self._meter = meter
        self._account = account
        self._forbidden = forbidden
        self._discretion = discretion
        self._trouble = trouble
        self._unknown_max_seconds = unknown_max_seconds
        self._dispatch = dispatch
        self._again_in = again_in
        self._connecting: set[Claim] = set()
        self._opener = open_recorder(
            self._open, size_max=GROUP_MAX, linger_seconds=LINGER_SECONDS, coming=lambda: bool(self._connecting)
        )
        self._recorder = open_recorder(self._record, size_max=GROUP_MAX, linger_seconds=LINGER_SECONDS)
        self._late_recorder = open_recorder(self._record_late, size_max=GROUP_MAX, linger_seconds=LINGER_SECONDS)

    async def recorded(self) -> None:
        """Wait until the outcomes of all sent jobs are recorded."""
        await self._recorder.drained()
        await self._late_recorder.drained()

    async def send(self, row: ClaimedJob, asked_at: float, sent_at: float) -> None:
        """Send a claimed job and record the outcome. `asked_at`: when the claim was requested, on the monotonic clock; `sent_at`: when it was
        granted, on the database's clock."""
        with self._leases.held((row.id, row.fence), asked_at=asked_at):
            try:
                attempt, outcome = await self._submit(row)
            except ClaimLost:
                log.info("submit.claim_lost", job_id=show_id("job", row.id))
                return
            self._meter.record_response(outcome, row, is_read=False, sent_at=sent_at)
            crash_point("send.after_answer")
            outcome = await self._discretion.told(outcome)
            verdict = await self._judged(outcome, row) if outcome.kind is OutcomeKind.ACCOUNT else None
            if verdict is AccountJudgment.REJECTED:
                outcome = replace(outcome, kind=OutcomeKind.REJECTED)
            await self._settle(row, attempt, outcome, doubted=verdict is AccountJudgment.DOUBTED)

    async def _submit(self, row: ClaimedJob) -> tuple[int | None, Outcome]:
        """Return the attempt and its outcome; the attempt is None if nothing could be sent. Raises ClaimLost."""
        claim: Claim = (row.id, row.fence)
        opening: list[asyncio.Future[int | None]] = []
        opened: list[int] = []

        async def before_send() -> None:
            self._connecting.discard(claim)
            opening.append(self._opener.post((row.tenant_id, claim)))
            # from here on the attempt may be open, so its opening must be awaited even if this call is canceled
            attempt = await asyncio.shield(opening[0])
            if attempt is None:
                raise ClaimLost
            opened.append(attempt)
            if not self._leases.holds(claim):
                raise LeaseOver

        started_at = clock.monotonic()
        self._connecting.add(claim)
        try:
            outcome = believed(await self._upstream.submit(model=row.model, body=row.body, before_send=before_send))
        except LeaseOver:
            log.warning("submit.lease_expired", job_id=show_id("job", row.id))
            outcome = Outcome(OutcomeKind.NOT_SENT, None, clock.monotonic() - started_at, "lease_over")
        except asyncio.CancelledError:
            if not opening:
                raise
            # a shutdown during the call: record it as unknown now, not when the lease expires
            kind = OutcomeKind.UNKNOWN if opened else OutcomeKind.NOT_SENT
            outcome = Outcome(kind, None, clock.monotonic() - started_at, "shut_down")
        finally:
            self._connecting.discard(claim)
        if opening and not opened:  # the call ended while the attempt was being opened; nothing was sent
            attempt = await opening[0]
            if attempt is None:
                raise ClaimLost
            opened.append(attempt)
        return opened[0] if opened else None, outcome

    async def _judged(self, outcome: Outcome, row: ClaimedJob) -> AccountJudgment:
        try:
            return await self._account.judge(outcome, row)
        except asyncio.CancelledError:  # a shutdown; the outcome must still be recorded
            return AccountJudgment.DOUBTED

    async def _settle(self, row: ClaimedJob, attempt: int | None, outcome: Outcome, *, doubted: bool) -> None:
        job_id: UUID = row.id
        step = after_submit(
            outcome,
            retries=row.retries,
            schedule=self._run_times.of(row.model),
            unknown_max_seconds=self._unknown_max_seconds,
            doubted=doubted,
        )
        if attempt is None:
            await self._release(row, step, outcome)
            return
        shown = show_id("job", job_id)
        log.debug("submit.answered", job_id=shown, attempt=attempt, outcome=outcome.kind, detail=outcome.detail)
        if is_forbidden(outcome):
            await self._note_forbidden(row, outcome)
        original = self._discretion.sealed(job_id, outcome) if step.to_state is State.FAILED else None
        record = SubmitRecord(job_id, attempt, step, outcome, original)
        try:
            await self._write_down(row, record)
        except asyncpg.UniqueViolationError:
            await self._claim_taken_id(record)

    async def _claim_taken_id(self, record: SubmitRecord) -> None:
        """Another job has the id that the upstream has just given to this one."""
        recorded, settled = await claim_taken_id(
            self._database, record, owner=self._leases.owner, unknown_max_seconds=self._unknown_max_seconds
        )
        await self._recorded([recorded], settled)

    async def _write_down(self, row: ClaimedJob, record: SubmitRecord) -> None:
        late = await self._recorder.post((row.tenant_id, record))
        if late is not None:
            await late

    async def _note_forbidden(self, row: ClaimedJob, outcome: Outcome) -> None:
        """Note a 403. Never raises: the refusal of the job must still be recorded, or the job would count as sent."""
        try:
            await self._forbidden.note(row, outcome)
        except asyncio.CancelledError:  # a shutdown
            log.warning("model.refusal_not_recorded", job_id=show_id("job", row.id))
        except Exception:
            log.exception("model.refusal_not_recorded", job_id=show_id("job", row.id))

    async def _release(self, row: ClaimedJob, step: Step, outcome: Outcome) -> None:
        self._trouble.not_sent(row, outcome.detail)
        released = (row.id, row.fence, step.due_seconds or 0.0, outcome.detail, outcome.duration_seconds)

        async def write() -> None:
            async with self._database.statement() as session:
                await release_claims(session, owner=self._leases.owner, rows=[released])

        await retry_until_stored(write)
        self._again_in(step.due_seconds or 0.0)

    async def _open(self, claims: Sequence[Claim], lock_seconds: float) -> Sequence[int | None | Exception]:
        async def write() -> dict[Claim, int]:
            async with self._database.statement() as session:
                return await open_attempts(
                    session,
                    owner=self._leases.owner,
                    claims=claims,
                    lease_seconds=self._leases.lease_seconds,
                    lock_seconds=lock_seconds,
                )

        crash_point("attempt.before_open")
        # repeated until the result is known: an attempt that was opened and forgotten would count as sent
        attempts = await retry_until_stored(write)
        crash_point("attempt.after_open")
        if attempts and self.opened is not None:
            (job_id, _), attempt = next(reversed(attempts.items()))
            self.opened(job_id, attempt)
        return [attempts.get(claim) for claim in claims]

    async def _record(
        self, records: Sequence[SubmitRecord], lock_seconds: float
    ) -> Sequence[asyncio.Future[None] | None | Exception]:
        """Return a future for each record that came too late, so that the rest of the group does not wait for it."""
        # a requeued job ends here if it was canceled in the meantime
        ends = any(record.step.to_state not in (State.RUNNING, State.UNKNOWN) for record in records)
        door = self._database.transaction if ends else self._database.statement

        async def write() -> Settled:
            async with door() as session:
                return await record_submits(session, records=records, lock_seconds=lock_seconds)

        crash_point("send.before_record")
        return await self._recorded(records, await retry_until_stored(write))

    async def _recorded(
        self, records: Sequence[SubmitRecord], settled: Settled
    ) -> Sequence[asyncio.Future[None] | None | Exception]:
        """Act on what has been recorded."""
        recorded, late, forbidden = settled
        coming = {(record.job_id, record.attempt): self._late_recorder.post((record.job_id, record)) for record in late}
        if recorded.room:
            self._dispatch.ring()
        crash_point("send.after_record")
        moved = {(row.id, row.attempt): State(row.state) for row in recorded.rows}
        self._doorbell.announce(
            (job_id for (job_id, _), state in moved.items() if state in FINAL), due=recorded.due > 0
        )
        self._trouble.submitted(recorded, records)
        for record in records:
            state = moved.get((record.job_id, record.attempt))
            if state is None:
                shown = show_id("job", record.job_id)
                log.warning("submit.record_refused", job_id=shown, outcome=record.outcome.kind)
            elif state is State.QUEUED:
                self._again_in(record.step.due_seconds or 0.0)
            elif state is State.RUNNING and self.poller_pump is not None:
                self.poller_pump.ring_in(record.step.due_seconds or 0.0)
        accepted = {(row.model, row.tenant_id) for row in recorded.rows if row.state == State.RUNNING}
        if forbidden and accepted and await self._forbidden.accepted(accepted):
            self._dispatch.ring()
            self._doorbell.ring("dispatch")
        await self._account.apply_pauses(records)
        return [coming.get((record.job_id, record.attempt)) for record in records]

    async def _record_late(self, records: Sequence[SubmitRecord], lock_seconds: float) -> Sequence[None | Exception]:
        owner = self._leases.owner
        told = [record for record in records if record.outcome.upstream_id is not None]
        others = [record for record in records if record.outcome.upstream_id is None]

        async def write() -> None:
            async with self._database.statement() as session:
                await record_late(session, worker=owner, records=others, lock_seconds=lock_seconds)

        if others:
            await retry_until_stored(write)
        for record in told:
            await record_late_id(self._database, record, owner=owner, unknown_max_seconds=self._unknown_max_seconds)
        if told and self.poller_pump is not None:
            self.poller_pump.ring()
        return [None] * len(records)
