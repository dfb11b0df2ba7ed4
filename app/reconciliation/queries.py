"""Reads for the reconciliation, by page or window. An index serves each but `list_differing`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from app.core.clock import rfc3339
from app.core.credits import show_credits
from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.ids import show_id
from app.ledger.queries import FOLD_PART
from app.reconciliation.decide import Explained, OurJob
from app.reconciliation.models import OF_HISTORY
from app.upstream.history_rows import read_body

CANDIDATES_MAX = 500
NEAR = timedelta(seconds=120)
"""The highest difference between our clock and the upstream's, plus the duration of a submit."""
INPUT_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """The company's credits, read between `asked_at` and `at`, in micro-credits."""

    id: int
    asked_at: datetime
    at: datetime
    total: int


@dataclass(frozen=True, slots=True)
class _Owner(OurJob):
    """late: the upstream's id arrived too late to become the job's own."""

    asked_id: str
    late: bool


@dataclass(frozen=True, slots=True)
class _SentJob(OurJob):
    body: bytes


class _Balance(NamedTuple):
    tenant_id: UUID
    available: int
    fold: int


class _Sent(NamedTuple):
    id: UUID
    upstream_id: str


class OpenDiscrepancy(NamedTuple):
    """One about a request of the history."""

    kind: str
    subject: str
    job_id: UUID | None


class _OpenCredits(NamedTuple):
    subject: str
    id: int
    asked_at: datetime
    at: datetime
    total: int


class _Shown(NamedTuple):
    id: int
    kind: str
    job_id: UUID | None
    tenant: str | None
    upstream_id: str | None
    model: str | None
    ours_micro: int | None
    theirs_micro: int | None
    happened_at: datetime | None
    first_seen_at: datetime


_SQL = SqlFolder(__file__)
_LIST_OWNERS = _SQL.query("list_owners", _Owner)
_LIST_CANDIDATES = _SQL.query("list_candidates", _SentJob)
_LIST_SENT = _SQL.query("list_sent", _Sent)
_FIND_READING = _SQL.query("find_reading", Reading)
_EXPLAIN_SPENT = _SQL.query("explain_spent", Explained)
_LIST_DIFFERING = _SQL.query("list_differing", _Balance, parts={"fold": FOLD_PART})
_LIST_OPEN = _SQL.query("list_open", OpenDiscrepancy)
_LIST_OPEN_CREDITS = _SQL.query("list_open_credits", _OpenCredits)
_LIST_SHOWN = _SQL.query("list_shown", _Shown)
_COUNT_OPEN = _SQL.query("count_open", int)


async def list_differing(session: ReadSession) -> list[tuple[UUID, int, int]]:
    """Return (tenant, available by its balance, available by its transfers) where the two differ. One statement, which reads
    all transfers."""
    return [(row.tenant_id, row.available, row.fold) for row in await session.rows(_LIST_DIFFERING)]


async def list_owners(session: ReadSession, *, upstream_ids: Sequence[str]) -> dict[str, tuple[OurJob, bool]]:
    """Return by upstream id: the job of the request, and whether the id arrived too late to be the job's own. If the upstream has
    given an id to two jobs, it is the one that has it."""
    rows = await session.rows(_LIST_OWNERS, upstream_ids=list(upstream_ids))
    return {row.asked_id: (row, row.late) for row in sorted(rows, key=lambda row: row.late, reverse=True)}


async def list_candidates(session: ReadSession, *, model: str, at: datetime) -> list[tuple[OurJob, Any]]:
    """Return jobs of the model that were sent at about that time, with their parameters; at most CANDIDATES_MAX."""
    rows = await session.rows(
        _LIST_CANDIDATES, since=at - NEAR, until=at + NEAR, model=model, body_bytes_max=INPUT_BYTES_MAX,
        candidates_max=CANDIDATES_MAX,
    )  # fmt: skip
    return [(row, read_body(row.body)) for row in rows]


async def list_sent(
    session: ReadSession, *, since: datetime, until: datetime, ended_before: datetime
) -> list[tuple[UUID, str]]:
    """Return (job, upstream id) of the ended jobs sent in [since, until). Callers pass a window of minutes, not days."""
    rows = await session.rows(_LIST_SENT, since=since, until=until, ended_before=ended_before)
    return [(row.id, row.upstream_id) for row in rows]


async def find_reading(session: ReadSession, *, reading_id: int | None = None) -> Reading | None:
    """Return the reading with this id, or the last one."""
    return await session.find_row(_FIND_READING, reading_id=reading_id)


async def explain_spent(
    session: ReadSession, *, before: Reading, asked_at: datetime, at: datetime, slack_seconds: float
) -> Explained:
    """Return our costs between a reading and the newest one. `slack_seconds`: the highest error in our instant of a charge."""
    return await session.get_row(
        _EXPLAIN_SPENT, before_asked_at=before.asked_at, before_at=before.at, asked_at=asked_at, at=at,
        slack_seconds=slack_seconds,
    )  # fmt: skip


async def list_open(session: ReadSession, *, limit: int) -> list[OpenDiscrepancy]:
    """Return open discrepancies about requests of the history (kind, subject, job_id); those checked longest ago come first."""
    return await session.rows(_LIST_OPEN, kinds=list(OF_HISTORY), discrepancies_max=limit)


async def list_open_credits(session: ReadSession) -> list[tuple[str, Reading]]:
    """Return (subject, the reading before it) of the open discrepancies about the company's credits."""
    rows = await session.rows(_LIST_OPEN_CREDITS)
    return [(row.subject, Reading(row.id, row.asked_at, row.at, row.total)) for row in rows]


async def list_shown(session: ReadSession, *, limit: int) -> list[dict[str, Any]]:
    """Return open discrepancies for display, newest first."""
    return [
        {
            "number": row.id,
            "kind": row.kind,
            "job": row.job_id and show_id("job", row.job_id),
            "tenant": row.tenant,
            "upstream_id": row.upstream_id,
            "model": row.model,
            "ours": None if row.ours_micro is None else show_credits(row.ours_micro),
            "theirs": None if row.theirs_micro is None else show_credits(row.theirs_micro),
            "happened_at": rfc3339(row.happened_at),
            "first_seen_at": rfc3339(row.first_seen_at),
        }
        for row in await session.rows(_LIST_SHOWN, discrepancies_max=limit)
    ]


async def count_open(session: ReadSession) -> int:
    """Return the number of open discrepancies."""
    return await session.get_value(_COUNT_OPEN)
