"""Confirms the upstream's errors about our account before they pause all submits."""

import asyncio
from collections.abc import Sequence
from enum import StrEnum

from app.core import clock
from app.core.database.db import Database, retry_until_stored
from app.core.ids import show_id
from app.core.logs.grouped_log import GroupedLog
from app.core.logs.log import get_logger
from app.jobs.claiming.records import SubmitRecord
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.models import State
from app.jobs.queries import find_accepted_since, get_micro_in_flight
from app.pace.pauses.operations import pause_submits, resume_submits
from app.upstream.account import AccountClient
from app.upstream.classify import account_words, is_about_spending
from app.upstream.readings import NotRead
from app.upstream.wire import Outcome

log = get_logger(__name__)

RESUME_SECONDS = 0.25
"""Time between two checks for a pause that a success could end."""
FRESH_SECONDS = 5.0
"""How long a read balance is used: many submits are refused at the same time."""
REFUSED = frozenset({"http_401", "http_402", "http_403"})
"""Answers to a request for our balance that are about the account or its key."""


class AccountJudgment(StrEnum):
    """Believed: the account is the problem; all submits wait. Doubted: only this job waits. Rejected: the job is the problem."""

    BELIEVED = "believed"
    DOUBTED = "doubted"
    REJECTED = "rejected"


class _Standing(StrEnum):
    """How our last request for the balance ended. Unread: it shows nothing about the account."""

    READ = "read"
    REFUSED = "refused"
    UNREAD = "unread"


class AccountWatch:
    """Judges the account errors of one process, and pauses submits while the account is the problem.

    A 401 or 402 with a JSON body is always believed. An answer without JSON may be the page of a proxy in between.
    """

    def __init__(self, database: Database, account: AccountClient) -> None:
        self._database = database
        self._account = account
        self._asking = asyncio.Lock()
        self._balance: int | None = None
        self._standing = _Standing.UNREAD
        self._asked_at = float("-inf")
        self._resume_at = 0.0
        self._doubts = GroupedLog(log)

    def flush(self) -> None:
        """Log the waiting warnings. Call it before the process ends."""
        self._doubts.flush()

    async def judge(self, outcome: Outcome, row: ClaimedJob) -> AccountJudgment:
        """Return the verdict on an outcome ACCOUNT of this claimed job."""
        if not outcome.in_json:
            return await self._judge_page(outcome, row)
        words = account_words(outcome.error or "")
        if outcome.status_code != 406 or words is None:
            return AccountJudgment.BELIEVED
        if words.encode().lower() in row.body.lower():
            return AccountJudgment.REJECTED  # the error quotes the tenant's input
        if is_about_spending(words):
            return AccountJudgment.BELIEVED  # the balance does not show a spend cap
        balance = await self._micro()
        if balance is None:
            return AccountJudgment.BELIEVED
        used_up, again = await self._look(balance, row)
        if used_up:
            return AccountJudgment.BELIEVED
        self._doubt("upstream.account_error_implausible", row, detail=outcome.error, again=again)
        return AccountJudgment.REJECTED if again else AccountJudgment.DOUBTED

    async def _judge_page(self, outcome: Outcome, row: ClaimedJob) -> AccountJudgment:
        """An answer without JSON, or cut off, concerns only this request, unless our balance is refused or used up."""
        balance = await self._micro()
        self._doubt("upstream.account_not_in_json", row, status_code=outcome.status_code)
        if self._standing is _Standing.REFUSED:
            return AccountJudgment.BELIEVED
        used_up, again = await self._look(balance, row)
        if used_up and outcome.status_code != 401:
            return AccountJudgment.BELIEVED
        whole = outcome.detail == f"http_{outcome.status_code}"
        return (
            AccountJudgment.REJECTED
            if again or (whole and self._standing is _Standing.READ)
            else AccountJudgment.DOUBTED
        )

    def _doubt(self, event: str, row: ClaimedJob, **keywords: str | int | None) -> None:
        self._doubts.warn(event, name="job_ids", ids=[show_id("job", row.id)], **keywords)

    async def _look(self, balance: int | None, row: ClaimedJob) -> tuple[bool, bool]:
        """Whether the jobs in flight may use up this balance, and whether another submit was accepted since this job was
        refused for the account. Retries while Postgres is unavailable: the outcome must not be lost."""

        async def look() -> tuple[bool, bool]:
            async with self._database.snapshot() as session:
                used_up = balance is not None and balance <= await get_micro_in_flight(session)
                return used_up, await find_accepted_since(session, job_id=row.id)

        return await retry_until_stored(look)

    async def apply_pauses(self, records: Sequence[SubmitRecord]) -> None:
        """Pause submits if one of these records says so. Otherwise an accepted submit ends a pause whose time is over."""
        pauses = [record.step.pause for record in records if record.step.pause is not None]
        if pauses:
            worst = max(pauses, key=lambda pause: pause.seconds)

            async def pause() -> bool:
                async with self._database.statement() as session:
                    return await pause_submits(session, reason=worst.reason, seconds=worst.seconds, detail=worst.detail)

            if await retry_until_stored(pause):
                log.error("upstream.submits_paused", seconds=round(worst.seconds, 1), detail=worst.detail)
        elif self._resume_at <= clock.monotonic() and any(record.step.to_state is State.RUNNING for record in records):
            # the worker that began the pause may have ended
            self._resume_at = clock.monotonic() + RESUME_SECONDS

            async def resume() -> float | None:
                async with self._database.statement() as session:
                    return await resume_submits(session)

            if (paused_seconds := await retry_until_stored(resume)) is not None:
                log.warning("upstream.submits_resumed", seconds=round(paused_seconds, 1))

    async def _micro(self) -> int | None:
        """The company's balance in micro-credits; None: it cannot be read."""
        async with self._asking:
            if clock.monotonic() > self._asked_at + FRESH_SECONDS:
                try:
                    credits = await self._account.credits()
                    self._standing = _Standing.READ
                except NotRead as error:
                    log.warning("upstream.credits_not_read", detail=error.detail)
                    credits = None
                    self._standing = _Standing.REFUSED if error.detail in REFUSED else _Standing.UNREAD
                self._balance = None if credits is None else credits.total_micro
                self._asked_at = clock.monotonic()
            return self._balance
