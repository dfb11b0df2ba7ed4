"""Compare rows of the history with our jobs, one page at a time."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import UUID

from app.core.database.db import Database
from app.core.database.session import Session
from app.jobs.unknown.late import LateRequest, note_late_request
from app.probe.decide import NEAR, find_lost, fits
from app.probe.operations import note_accepted, tell_cost
from app.probe.queries import LostProbe, find_probe_ids, list_lost_probes, list_rivals
from app.reconciliation import operations, queries
from app.reconciliation.decide import (
    Agrees,
    Discrepancy,
    NotYet,
    OurJob,
    Stranger,
    Told,
    about,
    judge,
    place,
)
from app.reconciliation.models import OF_HISTORY, DiscrepancyKind
from app.reconciliation.runs import Run, Tally, hold_run
from app.resolution.deciding import assign_orphans
from app.resolution.queries import list_candidates
from app.resolution.recovered import recovered_body
from app.resolution.settled import SettledAttempts
from app.upstream.history_rows import HistoryRow

RECONCILER: Final = UUID(int=0x7ECC)
"""`worker` of the observations that a reconciliation makes."""
LOST_SECONDS: Final = timedelta(seconds=600)
"""How long before its row appears an attempt may have been sent, with the highest difference of the clocks."""


class Requests:
    """Compares rows and stores the results, in one transaction a page."""

    def __init__(self, *, database: Database, run: Run, tally: Tally) -> None:
        self._database = database
        self._run = run
        self._tally = tally

    async def judge(self, rows: Sequence[HistoryRow]) -> None:
        """Compare these rows with our jobs. Each request occurs once. Raises RunLost."""
        if not rows:
            return
        async with self._database.snapshot() as snapshot:
            owners = await queries.list_owners(snapshot, upstream_ids=[row.upstream_id for row in rows])
        probes = await self._probes([row for row in rows if row.upstream_id not in owners])
        found: list[Discrepancy] = []
        gone: list[tuple[DiscrepancyKind, str]] = [(DiscrepancyKind.MISSING, row.upstream_id) for row in rows]
        starts: list[tuple[OurJob, HistoryRow]] = []
        strangers: list[HistoryRow] = []
        for row in rows:
            if row.upstream_id in probes:
                gone += _all_of(row)
                continue
            job, late = owners.get(row.upstream_id, (None, False))
            # an id that came too late to be the job's own: a second start
            if job is not None and late:
                starts.append((job, row))
                gone += _all_of(row)
                continue
            verdict = judge(row, job, judged_before=self._run.until)
            match verdict:
                case NotYet():
                    continue
                case Agrees():
                    gone += _all_of(row)
                case Told(told_job, cost):
                    await self._tell_cost(told_job, cost)
                    gone += _all_of(row)
                case Stranger():
                    strangers.append(row)
                case Discrepancy():
                    found.append(verdict)
                    gone += [one for one in _all_of(row) if one[0] is not verdict.kind]
            self._tally.compared += 1
        for row, discrepancy in await self._placed(strangers):
            # a request has at most one kind of discrepancy: settle all others
            gone += [one for one in _all_of(row) if discrepancy is None or one[0] is not discrepancy.kind]
            if discrepancy is not None:
                found.append(discrepancy)
        async with self._database.transaction() as session:
            await hold_run(session, run=self._run)
            self._tally.settled += await operations.settle(session, gone=gone)
            self._tally.found += await operations.note(session, discrepancies=found)
            for job, row in starts:
                await self._expose(session, job.id, job.tenant_id, row)
            for one in found:
                if one.kind is DiscrepancyKind.SECOND_START and one.job_id and one.tenant_id and one.upstream_id:
                    row = next(row for row in rows if row.upstream_id == one.upstream_id)
                    await self._expose(session, one.job_id, one.tenant_id, row)

    async def note_missing(self, upstream_ids: Sequence[str]) -> None:
        """Record that the history lacks these requests."""
        async with self._database.snapshot() as snapshot:
            owners = await queries.list_owners(snapshot, upstream_ids=upstream_ids)
        found = [
            Discrepancy(
                DiscrepancyKind.MISSING, upstream_id, job_id=job.id, tenant_id=job.tenant_id, upstream_id=upstream_id,
                model=job.model, ours=job.cost, happened_at=job.sent_at,
            )
            for upstream_id, (job, late) in owners.items() if not late
        ]  # fmt: skip
        async with self._database.transaction() as session:
            await hold_run(session, run=self._run)
            self._tally.found += await operations.note(session, discrepancies=found)

    async def _probes(self, rows: Sequence[HistoryRow]) -> set[str]:
        """Return those of these requests that operators sent as probes, and record their costs. They are not ours, for that
        reason. A probe whose answer was lost gets the request that only it can have made."""
        if not rows:
            return set()
        times = [row.created_at for row in rows if row.created_at is not None and row.created_at < self._run.until]
        async with self._database.snapshot() as snapshot:
            known = await find_probe_ids(snapshot, upstream_ids=[row.upstream_id for row in rows])
            lost = await list_lost_probes(snapshot, since=min(times) - NEAR, until=max(times) + NEAR) if times else []
        for row in rows if lost else ():
            if row.upstream_id not in known and await self._is_lost_probe(row, lost):
                known.add(row.upstream_id)
        if known:
            async with self._database.transaction() as session:
                for row in rows:
                    cost = row.charged_micro
                    if row.upstream_id in known and row.ended and cost is not None:
                        await tell_cost(session, upstream_id=row.upstream_id, cost_micro=cost)
        return known

    async def _is_lost_probe(self, row: HistoryRow, lost: Sequence[LostProbe]) -> bool:
        probe = find_lost(row, lost)
        if probe is None:
            return False
        since, until = probe.sent_at - NEAR, probe.sent_at + NEAR
        async with self._database.snapshot() as snapshot:
            rivals = await list_rivals(snapshot, probe_id=probe.id, model=probe.model, since=since, until=until)
        if any(fits(row, LostProbe(probe.model, body, probe.sent_at, probe.id)) for body in rivals):
            return False
        async with self._database.transaction() as session:
            return await note_accepted(session, probe_id=probe.id, upstream_id=row.upstream_id)

    async def _placed(self, rows: Sequence[HistoryRow]) -> list[tuple[HistoryRow, Discrepancy | None]]:
        """Return what each request that no job has is. None: it belongs to a job now, which had been told of too late."""
        if not rows:
            return []
        instants = [row.created_at for row in rows if row.created_at is not None]
        async with self._database.snapshot() as snapshot:
            listed = await list_candidates(snapshot, since=min(instants) - LOST_SECONDS, dead_seconds=0.0)
            # nothing is adopted here, so a sender that lives need not be waited for
            attempts = [
                attempt._replace(on_the_wire=False, quiet_at=attempt.quiet_at or attempt.sent_at) for attempt in listed
            ]
            assigned = await assign_orphans(snapshot, rows, attempts, SettledAttempts())
        jobs = {attempt.key: attempt for attempt in attempts}
        placed: list[tuple[HistoryRow, Discrepancy | None]] = []
        named: set[UUID] = set()
        for row in rows:
            key = assigned.adopted.get(row.upstream_id)
            key = key if key in jobs else None  # a probe's, at most
            if key is None and row.upstream_id in assigned.contested:
                placed.append((row, about(DiscrepancyKind.LOST_START, row, None)))
            elif key is None:
                placed.append((row, await self._repeated(row, named)))
            elif await self._noted_late(row, key):
                placed.append((row, None))
            else:
                lost = replace(
                    about(DiscrepancyKind.LOST_START, row, None), job_id=key[0], tenant_id=jobs[key].tenant_id
                )
                placed.append((row, lost))
        return placed

    async def _repeated(self, row: HistoryRow, named: set[UUID]) -> Discrepancy:
        candidates = []
        if row.model is not None and row.created_at is not None and row.body is not None:
            async with self._database.snapshot() as snapshot:
                candidates = await queries.list_candidates(snapshot, model=row.model, at=row.created_at)
        return place(row, candidates, named=named)

    async def _noted_late(self, row: HistoryRow, key: tuple[UUID, int]) -> bool:
        """Give a request that has ended to a job that ended without it. Return whether this was so."""
        if not row.ended:
            return False
        late = LateRequest(*key, row.upstream_id, recovered_body([row]), row.charged_micro)
        async with self._database.transaction() as session:
            return await note_late_request(session, late=late, worker=RECONCILER) is not None

    async def _tell_cost(self, job: OurJob, cost: int) -> None:
        async with self._database.transaction() as session:
            returned = await operations.tell_cost(session, job=job, cost_micro=cost)
        if returned is not None:
            self._tally.filled += 1
            self._tally.adjusted_micro += returned

    async def _expose(self, session: Session, job_id: UUID, tenant_id: UUID, row: HistoryRow) -> None:
        """Record a known cost only: an exposure is written once, and never changed."""
        cost = row.charged_micro
        if row.ended and cost:
            await operations.expose_start(
                session, job_id=job_id, tenant_id=tenant_id, upstream_id=row.upstream_id, cost_micro=cost
            )


def _all_of(row: HistoryRow) -> list[tuple[DiscrepancyKind, str]]:
    return [(kind, row.upstream_id) for kind in OF_HISTORY]
