"""One reconciliation, from its start to its stored result. Its three checks do not depend on each other.

Calls to the upstream are made without an open session. Their results are compared and stored page by page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from app.core.database.db import Database
from app.jobs.queries import read_clock
from app.pace.balances import note_balances
from app.reconciliation import operations, queries
from app.reconciliation.decide import Discrepancy, compare_spent
from app.reconciliation.models import DiscrepancyKind, Result
from app.reconciliation.runs import Run, Tally, finish, hold_run
from app.reconciliation.tasks.requests import Requests
from app.upstream.account import AccountClient, UpstreamCredits
from app.upstream.history import HistoryClient
from app.upstream.history_rows import once_each
from app.upstream.readings import NotRead

ROWS_MAX: Final = 200_000
"""Rows of the history in one run; the next run continues there. Their ids stay in memory, some 20 MB."""
REVISITS_MAX: Final = 1_000
"""How many open discrepancies are checked again, one by one."""
ABSENT_MAX: Final = 1_000
"""How many jobs with requests on no page are looked up, one by one."""
SLICE: Final = timedelta(minutes=10)
"""The window of each read of our jobs."""
CHARGE_SLACK_SECONDS: Final = 60.0
"""The highest error in our instant of the upstream's charge."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run. `open`: all discrepancies that are open now, including older ones."""

    run: Run
    result: Result
    detail: str
    tally: Tally
    open: int


class Reconciler:
    """Runs reconciliations, one at a time."""

    def __init__(
        self,
        *,
        database: Database,
        account: AccountClient,
        history: HistoryClient | None,
        rows_max: int = ROWS_MAX,
        charge_slack_seconds: float = CHARGE_SLACK_SECONDS,
        say: Say = lambda _: None,
    ) -> None:
        self._database = database
        self._account = account
        self._history = history
        self._rows_max = rows_max
        self._charge_slack_seconds = charge_slack_seconds
        self._say = say

    async def reconcile(self, run: Run) -> Report:
        """Run a reconciliation to its end. Raises RunLost if another process has closed it, and StoreUnavailable."""
        tally = Tally()
        unread: list[str] = []
        cut = False
        await self._balances(run, tally)
        try:
            await self._credits(run, tally)
        except NotRead as error:
            unread.append(f"the company's credits: {error.detail}")
        if self._history is not None:
            try:
                cut = await self._requests(run, tally, self._history)
            except NotRead as error:
                tally.read_until = None
                unread.append(f"the request history: {error.detail}")
        async with self._database.transaction() as session:
            open_now = await queries.count_open(session)
            result = _result(unread, cut, open_now)
            await finish(session, run=run, result=result, detail="; ".join(unread), tally=tally)
        return Report(run, result, "; ".join(unread), tally, open_now)

    async def _balances(self, run: Run, tally: Tally) -> None:
        self._say("comparing every balance with its transfers")
        async with self._database.snapshot() as snapshot:
            differing = await queries.list_differing(snapshot)
        found = [
            Discrepancy(DiscrepancyKind.BALANCE, str(tenant_id), tenant_id=tenant_id, ours=available, theirs=fold)
            for tenant_id, available, fold in differing
        ]
        async with self._database.transaction() as session:
            await hold_run(session, run=run)
            tally.found += await operations.note(session, discrepancies=found)
            tally.settled += await operations.settle_others(
                session, kind=DiscrepancyKind.BALANCE, but=[one.subject for one in found]
            )

    async def _credits(self, run: Run, tally: Tally) -> None:
        """Keep a reading, and compare what was spent since the last one with our recorded costs."""
        self._say("reading the company's credits at the upstream")
        asked_at = await self._now()
        credits = await self._account.credits()
        if credits is None:
            raise NotRead("no record of them", transient=False)
        at = await self._now()
        async with self._database.transaction() as session:
            await hold_run(session, run=run)
            before = await queries.find_reading(session)
            compared = None
            spent_found = None
            if before is not None:
                explained = await queries.explain_spent(
                    session, before=before, asked_at=asked_at, at=at, slack_seconds=self._charge_slack_seconds
                )
                spent = before.total - credits.total_micro
                compared = (before.id, spent, explained.least, explained.most)
                spent_found = compare_spent(spent, explained)
                tally.topped_up_micro = spent_found.topped_up
            number = await operations.keep_reading(
                session, asked_at=asked_at, at=at, paid_micro=credits.paid_micro, free_micro=credits.free_micro,
                compared=compared, topped_up_micro=tally.topped_up_micro,
            )  # fmt: skip
            await note_balances(session, micros=list(credits.balances))
            if compared is not None and spent_found is not None and spent_found.ours is not None:
                one = Discrepancy(
                    DiscrepancyKind.CREDITS, str(number), ours=spent_found.ours, theirs=compared[1], happened_at=at
                )
                tally.found += await operations.note(session, discrepancies=[one])
        await self._credits_again(run, tally, credits, asked_at, at)

    async def _credits_again(
        self, run: Run, tally: Tally, credits: UpstreamCredits, asked_at: datetime, at: datetime
    ) -> None:
        """Check open discrepancies again: a longer time may explain what two consecutive readings could not."""
        async with self._database.transaction() as session:
            await hold_run(session, run=run)
            for subject, baseline in await queries.list_open_credits(session):
                explained = await queries.explain_spent(
                    session, before=baseline, asked_at=asked_at, at=at, slack_seconds=self._charge_slack_seconds
                )
                found = compare_spent(baseline.total - credits.total_micro, explained)
                if found.ours is None and not found.topped_up:
                    tally.settled += await operations.settle(session, gone=[(DiscrepancyKind.CREDITS, subject)])

    async def _requests(self, run: Run, tally: Tally, history: HistoryClient) -> bool:
        """Compare the window's requests. Return whether the maximum of rows stopped it."""
        requests = Requests(database=self._database, run=run, tally=tally)
        await self._revisit(run, history, requests)
        seen: set[str] = set()
        before: frozenset[str] = frozenset()
        reached, cut = run.until, False
        async for page in history.read(since=run.since, until=run.until):
            tally.history_rows += len(page.rows)
            tally.skipped += page.skipped + sum(row.created_at is None for row in page.rows)
            rows = [row for row in once_each(page.rows) if row.upstream_id not in before]
            # the previous page may overlap with this one: do not compare a request twice
            before = frozenset(row.upstream_id for row in page.rows)
            seen |= before
            await requests.judge([row for row in rows if row.created_at is None or row.created_at >= run.since])
            self._say(f"compared {tally.compared:,} requests of {tally.history_rows:,} rows")
            last = max((row.created_at for row in page.rows if row.created_at is not None), default=None)
            if tally.history_rows >= self._rows_max and page.more and last is not None and last > run.since:
                reached, cut = min(last, run.until), True
                break
        await self._look_for_ours(run, history, requests, seen, reached)
        tally.read_until = reached
        return cut

    async def _revisit(self, run: Run, history: HistoryClient, requests: Requests) -> None:
        """Check open requests again: rows and costs appear late."""
        async with self._database.snapshot() as snapshot:
            still_open = await queries.list_open(snapshot, limit=REVISITS_MAX)
        for discrepancy in still_open:
            row = await history.find(discrepancy.subject)
            if row is not None:
                await requests.judge([row])
            async with self._database.transaction() as session:
                await hold_run(session, run=run)
                await operations.look_again(
                    session, kind=DiscrepancyKind(discrepancy.kind), subject=discrepancy.subject
                )

    async def _look_for_ours(
        self, run: Run, history: HistoryClient, requests: Requests, seen: set[str], reached: datetime
    ) -> None:
        """Look up our jobs' requests that are on no page. Record those that the history does not have."""
        absent_number, since = 0, run.since
        while since < reached:
            until = min(since + SLICE, reached)
            async with self._database.snapshot() as snapshot:
                sent = await queries.list_sent(snapshot, since=since, until=until, ended_before=run.until)
            absent = [upstream_id for _, upstream_id in sent if upstream_id not in seen]
            absent_number += len(absent)
            if absent_number > ABSENT_MAX:
                raise NotRead(f"more than {ABSENT_MAX} of our requests are missing in it", transient=False)
            missing = []
            for upstream_id in absent:
                row = await history.find(upstream_id)
                if row is None:
                    missing.append(upstream_id)
                else:
                    await requests.judge([row])
            if missing:
                await requests.note_missing(missing)
            since = until

    async def _now(self) -> datetime:
        async with self._database.snapshot() as snapshot:
            return await read_clock(snapshot)


def _result(unread: list[str], cut: bool, open_now: int) -> Result:
    if unread:
        return Result.INCOMPLETE
    if cut:
        return Result.CUT
    return Result.DIFFERS if open_now else Result.AGREES
