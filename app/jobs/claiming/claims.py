"""Claim running jobs, open attempts, and release or renew claims. A claim sets a lease by the database's clock and raises the
fence."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.pace.budget import Granted, read_pace
from app.pace.pace import Pace, fetch_price, next_read_seconds, read_price, reads_granted
from app.pace.pauses.queries import COUNT_GRANTED_PART, MAY_POLL_PART, MAY_SUBMIT_PART
from app.webhooks.queries import WANTS_START_PART

LOOKAHEAD_SECONDS = 0.05
"""Jobs due this soon are claimed too: an early poll is cheaper than another statement."""
EVER_SECONDS = 1e9


class ClaimedRead(NamedTuple):
    """A running job that was claimed for a poll or fetch. wants_start: it was not yet seen PROCESSING, and a webhook wants that
    event. number: how many were claimed; if none, the only row has only this."""

    id: UUID
    fence: int
    attempt: int
    model: str
    upstream_id: str
    upstream_state: str | None
    retries: int
    takeovers: int
    tenant_id: UUID
    unreadable: int
    cost_micro: int | None
    held_micro: int
    price_rule: str
    markup_micro: int
    wants_start: bool
    age_seconds: float
    gone_seconds: float | None
    number: int


class _Claim(NamedTuple):
    id: UUID
    fence: int


class _Attempt(NamedTuple):
    id: UUID
    fence: int
    attempt: int


class _Released(NamedTuple):
    id: UUID
    fence: int
    due_seconds: float
    detail: str
    duration_seconds: float


_SQL = SqlFolder(__file__)
_OF_READS = {"may_poll": MAY_POLL_PART, "wants_start": WANTS_START_PART, "count_granted": COUNT_GRANTED_PART}
_CLAIM_RUNNING = _SQL.query("claim_running", ClaimedRead, parts=_OF_READS)
_CLAIM_EXPIRING = _SQL.query("claim_expiring", ClaimedRead, parts=_OF_READS)
_COUNT_READS_DUE = _SQL.query("count_reads_due", int)
_OPEN_ATTEMPTS = _SQL.query("open_attempts", _Attempt, parts={"may_submit": MAY_SUBMIT_PART})
_RELEASE_CLAIMS = _SQL.command("release_claims")
_RENEW_LEASES = _SQL.query("renew_leases", _Claim)
_HAND_BACK = _SQL.command("hand_back")


async def claim_running(
    session: Session,
    *,
    owner: UUID,
    reads_max: int,
    lease_seconds: float,
    overdue_seconds: float = EVER_SECONDS,
    debt: int = 0,
    expires_seconds: float | None = None,
) -> Granted[ClaimedRead]:
    """Claim up to `reads_max` due running jobs, the longest overdue first, none overdue by more than `overdue_seconds`. Two
    statements, or three if the pace grants fewer.

    A short `overdue_seconds` is cheap: otherwise each claim first scans the dead index entries of all jobs that were due since
    the last vacuum. debt: fetches that were sent since the last claim. expires_seconds: claim only jobs that were submitted
    within it, the oldest first.
    """
    known = await read_pace(session, for_submits=False)
    pace = known.pace
    granted = reads_granted(pace, asked=reads_max)
    # before the claim, which changes how many are due
    due = await count_reads_due(session, reads_max=granted + 1, with_suspects=True) if granted < reads_max else 0
    given = {
        "jobs_max": granted, "owner": owner, "lease_seconds": lease_seconds, "lookahead_seconds": LOOKAHEAD_SECONDS,
        "overdue_seconds": overdue_seconds, "fetches": debt, **_prices(pace, debt),
    }  # fmt: skip
    if expires_seconds is None:
        rows = await session.rows(_CLAIM_RUNNING, **given)
    else:
        rows = await session.rows(_CLAIM_EXPIRING, **given, expires_seconds=expires_seconds)
    held = rows[0].number == granted < due
    return Granted(
        [row for row in rows if row.id is not None],
        known.now,
        next_read_seconds(pace, granted=granted) if held else None,
        known.alarmed,
        pace.on_trial,
    )


def _prices(pace: Pace, debt: int) -> dict[str, float]:
    """For the part `claimed_reads`: the tokens left after the fetches, and those that a read takes."""
    fetch, read = fetch_price(pace), read_price(pace)
    return {
        "tokens": pace.shared - fetch.shared * debt, "free_tokens": pace.free - fetch.free * debt,
        "trial_reads": pace.trial_reads, "token_price": read.shared, "free_price": read.free, "trial_price": read.trial,
    }  # fmt: skip


async def count_reads_due(session: Session, *, reads_max: int, with_suspects: bool = False) -> int:
    """Return how many running jobs are due for a poll, counted up to `reads_max`. One statement, or none if `reads_max` is 0."""
    return (
        await session.get_value(_COUNT_READS_DUE, reads_max=reads_max, with_suspects=with_suspects) if reads_max else 0
    )


async def open_attempts(
    session: Session,
    *,
    owner: UUID,
    claims: Sequence[tuple[UUID, int]],
    lease_seconds: float,
    lock_seconds: float = 0.0,
) -> dict[tuple[UUID, int], int]:
    """Open an attempt for each of these claims (id, fence), and return its number. A claim that is missing in the result was
    lost. One statement.

    If it is called again after a lost answer, it returns the attempts that were opened then. Nothing may have been sent in
    between. Raises asyncpg.LockNotAvailableError if it waits longer than `lock_seconds` for a lock. 0: no limit.
    """
    rows = await session.rows(
        _OPEN_ATTEMPTS, **columns_of(_Claim, [_Claim(*claim) for claim in claims]), owner=owner, lease_seconds=lease_seconds,
        lock_seconds=lock_seconds,
    )  # fmt: skip
    return {(row.id, row.fence): row.attempt for row in rows}


async def release_claims(session: Session, *, owner: UUID, rows: Sequence[tuple[UUID, int, float, str, float]]) -> None:
    """Release claims whose connection could not be opened: id, fence, due_seconds, detail, duration. One statement."""
    await session.run(_RELEASE_CLAIMS, **columns_of(_Released, [_Released(*row) for row in rows]), owner=owner)


async def renew_leases(
    session: Session, *, owner: UUID, claims: Sequence[tuple[UUID, int]], lease_seconds: float
) -> set[tuple[UUID, int]]:
    """Renew the leases of those claims (id, fence) that are still valid, and return these. One statement."""
    asked = columns_of(_Claim, [_Claim(*claim) for claim in claims])
    rows = await session.rows(_RENEW_LEASES, **asked, owner=owner, lease_seconds=lease_seconds)
    return {(row.id, row.fence) for row in rows}


async def hand_back(session: Session, *, owner: UUID, unsent_alone: bool = False) -> None:
    """Release the claims of a process that stops: jobs that were not sent, and, unless `unsent_alone`, running jobs. One
    statement."""
    await session.run(_HAND_BACK, owner=owner, running_too=not unsent_alone)
