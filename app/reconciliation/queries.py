"""Reads of our books, by the page or the window; each is answered by an index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
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

CANDIDATES_MAX = 500
NEAR = timedelta(seconds=120)
"""How far our clock and the upstream's may lie apart, and how long a submit takes."""
INPUT_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What was left of the company's credits, asked for and told between two instants."""

    id: int
    asked_at: datetime
    at: datetime
    total: int


@dataclass(frozen=True, slots=True)
class _Owner(OurJob):
    """late: the request came too late to be the job's own."""

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
    """One over a request of the history."""

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
    """(tenant, available by its balance, available by its transfers) where these are not the same. One statement, which
    reads all transfers."""
    return [(row.tenant_id, row.available, row.fold) for row in await session.rows(_LIST_DIFFERING)]


async def list_owners(session: ReadSession, *, upstream_ids: Sequence[str]) -> dict[str, tuple[OurJob, bool]]:
    """By upstream id: the job whose request it is, and whether it came too late to be the job's own."""
    rows = await session.rows(_LIST_OWNERS, upstream_ids=list(upstream_ids))
    return {row.asked_id: (row, row.late) for row in rows}


async def list_candidates(session: ReadSession, *, model: str, at: datetime) -> list[tuple[OurJob, Any]]:
    """Jobs of the model that were sent at about that time, each with its parameters; at most CANDIDATES_MAX."""
    rows = await session.rows(
        _LIST_CANDIDATES, since=at - NEAR, until=at + NEAR, model=model, body_bytes_max=INPUT_BYTES_MAX,
        candidates_max=CANDIDATES_MAX,
    )  # fmt: skip
    return [(row, json.loads(row.body, parse_float=Decimal)) for row in rows]


async def list_sent(
    session: ReadSession, *, since: datetime, until: datetime, ended_before: datetime
) -> list[tuple[UUID, str]]:
    """(job, upstream id) of the jobs sent in [since, until) that have ended. Callers ask for minutes, not for days."""
    rows = await session.rows(_LIST_SENT, since=since, until=until, ended_before=ended_before)
    return [(row.id, row.upstream_id) for row in rows]


async def find_reading(session: ReadSession, *, reading_id: int | None = None) -> Reading | None:
    """That reading, or the last one."""
    return await session.find_row(_FIND_READING, reading_id=reading_id)


async def explain_spent(
    session: ReadSession, *, before: Reading, asked_at: datetime, at: datetime, slack_seconds: float
) -> Explained:
    """What our costs between a reading and the newest come to. `slack_seconds`: how far we may be out about the instant
    at which the upstream charged."""
    return await session.get_row(
        _EXPLAIN_SPENT, before_asked_at=before.asked_at, before_at=before.at, asked_at=asked_at, at=at,
        slack_seconds=slack_seconds,
    )  # fmt: skip


async def list_open(session: ReadSession, *, most: int) -> list[OpenDiscrepancy]:
    """Open discrepancies over requests of the history (kind, subject, job_id), those looked at longest ago first."""
    return await session.rows(_LIST_OPEN, kinds=list(OF_HISTORY), discrepancies_max=most)


async def list_open_credits(session: ReadSession) -> list[tuple[str, Reading]]:
    """(subject, the reading before it) of the open discrepancies over the company's credits."""
    rows = await session.rows(_LIST_OPEN_CREDITS)
    return [(row.subject, Reading(row.id, row.asked_at, row.at, row.total)) for row in rows]


async def list_shown(session: ReadSession, *, most: int) -> list[dict[str, Any]]:
    """Open discrepancies for people, the newest first."""
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
        for row in await session.rows(_LIST_SHOWN, discrepancies_max=most)
    ]


async def count_open(session: ReadSession) -> int:
    """How many discrepancies are open."""
    return await session.get_value(_COUNT_OPEN)
