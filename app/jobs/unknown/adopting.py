"""Give requests of the upstream's history to the unknown jobs that made them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.models import Resolution


class Adoption(NamedTuple):
    """A parameter row: an attempt, and the request of the upstream that it is to get."""

    job_id: UUID
    attempt: int
    upstream_id: str


class AdoptedJob(NamedTuple):
    """A job that runs now, with what a PollRecord needs."""

    id: UUID
    attempt: int
    fence: int
    model: str
    upstream_id: str
    held_micro: int
    price_rule: str
    markup_micro: int


_SQL = SqlFolder(__file__)
_LOCK_REQUESTS = _SQL.query("lock_requests", int)
_ADOPT = _SQL.query("adopt_attempts", AdoptedJob)
_MARK_CONTESTED = _SQL.command("mark_contested")
_SET_RECOVERED = _SQL.command("set_recovered")


class _Attempt(NamedTuple):
    job_id: UUID
    attempt: int


async def lock_requests(session: Session, *, upstream_ids: Sequence[str]) -> None:
    """Let no other transaction give these requests to a job, or record the upstream's own word about them, until this one ends. Call
    it before jobs are locked. One statement."""
    await session.get_value(_LOCK_REQUESTS, upstream_ids=list(upstream_ids))


async def adopt_attempts(
    session: Session, *, adoptions: Sequence[Adoption], resolution: Resolution
) -> list[AdoptedJob]:
    """Set these unknown jobs to running, as these requests. Returns the jobs that moved: not one whose request another job has.
    Two statements. Raises asyncpg.UniqueViolationError if another transaction gave a request away at the same time."""
    await lock_requests(session, upstream_ids=[adoption.upstream_id for adoption in adoptions])
    return await session.rows(_ADOPT, **columns_of(Adoption, adoptions), resolution=resolution)


async def mark_contested(session: Session, *, attempts: Sequence[tuple[UUID, int]], since: datetime) -> int:
    """Record that a request may be one of these attempts', or another tenant's, and of no other unresolved attempt sent `since`.
    Returns how many were not marked before. If their time is up, no exposure is written for them: it is written for the request. One statement."""
    return await session.run(_MARK_CONTESTED, **columns_of(_Attempt, [_Attempt(*one) for one in attempts]), since=since)


async def set_recovered(session: Session, *, job_ids: Sequence[UUID]) -> None:
    """Record that the results of these jobs come from the history. One statement."""
    await session.run(_SET_RECOVERED, job_ids=list(job_ids))
