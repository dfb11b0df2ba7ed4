"""Reads for the resolution: attempts that may have arrived, and what is ours at the upstream."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.upstream.history_rows import read_body

CANDIDATES_MAX: Final = 20_000
BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
SETTLED_MAX: Final = 100_000
LATENESS_DAYS: Final = 7
GAP_SECONDS: Final = 120.0
"""The most time between two reads that see a request late; more is an outage."""


class Window(NamedTuple):
    """since: the oldest attempt or contested request to look for; None: there is nothing. newest_at: the newest unresolved
    attempt."""

    since: datetime | None
    newest_at: datetime | None


class UnknownAttempt(NamedTuple):
    """An attempt that may have arrived. quiet_at: its sender sends nothing more after this; None: it may. recovered: its job came out
    of an older state of the database, so it may have been sent at any time since `created_at`."""

    job_id: UUID
    attempt: int
    last_attempt: int
    tenant_id: UUID
    model: str
    state: str
    sent_at: datetime
    created_at: datetime
    resolution: str | None
    on_the_wire: bool
    recovered: bool
    quiet_at: datetime | None

    @property
    def key(self) -> tuple[UUID, int]:
        """The attempt."""
        return self.job_id, self.attempt


class SettledJob(NamedTuple):
    """A job whose request is known."""

    job_id: UUID
    attempt: int
    tenant_id: UUID
    model: str
    sent_at: datetime


class _Body(NamedTuple):
    job_id: UUID
    body: bytes


class OurRequest(NamedTuple):
    """A request of ours that was accepted."""

    upstream_id: str
    sent_at: datetime


class _Schema(NamedTuple):
    slug: str
    schema: dict[str, Any]


class SentJob(NamedTuple):
    """The model of a job, when it was last sent, and its parameters as they came; None: they were deleted. contested: the request in
    question may be another tenant's."""

    model: str
    sent_at: datetime | None
    body: bytes | None
    contested: bool


_SQL = SqlFolder(__file__)
_GET_WINDOW = _SQL.query("get_window", Window)
_LIST_CANDIDATES = _SQL.query("list_candidates", UnknownAttempt)
_LIST_BODIES = _SQL.query("list_bodies", _Body)
_LIST_SETTLED = _SQL.query("list_settled", SettledJob)
_LIST_OURS = _SQL.query("list_ours", OurRequest)
_LIST_SCHEMAS = _SQL.query("list_schemas", _Schema)
_GET_SENT_JOB = _SQL.query("get_sent_job", SentJob)
_LIST_MISSED = _SQL.query("list_missed", str)
_GET_LONGEST_LATENESS = _SQL.query("get_longest_lateness", float)


async def get_window(session: ReadSession, *, horizon_seconds: float, watched_seconds: float) -> Window:
    """Return since when the history must be read. One statement."""
    return await session.get_row(_GET_WINDOW, horizon_seconds=horizon_seconds, watched_seconds=watched_seconds)


async def list_candidates(session: ReadSession, *, since: datetime, dead_seconds: float) -> list[UnknownAttempt]:
    """Return the attempts sent since then that may have arrived, the oldest first; at most CANDIDATES_MAX."""
    return await session.rows(_LIST_CANDIDATES, since=since, dead_seconds=dead_seconds, candidates_max=CANDIDATES_MAX)


async def list_bodies(session: ReadSession, *, job_ids: Sequence[UUID]) -> dict[UUID, Any]:
    """Return the parameters of these jobs; of some of them only, if they are larger than BODIES_BYTES_MAX together."""
    rows = await session.rows(_LIST_BODIES, job_ids=list(job_ids), bytes_max=BODIES_BYTES_MAX)
    return {row.job_id: read_body(row.body) for row in rows}


async def list_settled(session: ReadSession, *, model: str, since: datetime, until: datetime) -> list[SettledJob]:
    """Return jobs of the model that were sent in this window and have a request; at most SETTLED_MAX."""
    return await session.rows(_LIST_SETTLED, model=model, since=since, until=until, jobs_max=SETTLED_MAX)


async def list_ours(session: ReadSession, *, since: datetime, until: datetime) -> list[OurRequest]:
    """Return our accepted requests that were sent in [since, until)."""
    return await session.rows(_LIST_OURS, since=since, until=until)


async def list_schemas(session: ReadSession, *, models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the schemas of the models that have one."""
    return {row.slug: row.schema for row in await session.rows(_LIST_SCHEMAS, models=list(models))}


async def list_missed(session: ReadSession) -> set[str]:
    """Return our requests that a read did not have, and none has had since."""
    return set(await session.values(_LIST_MISSED))


async def get_longest_lateness(session: ReadSession) -> float:
    """Return how many seconds after its sending the latest request of the last days appeared, 0.0 if none was late."""
    return await session.get_value(_GET_LONGEST_LATENESS, days=LATENESS_DAYS, gap_seconds=GAP_SECONDS)


async def find_sent_job(session: ReadSession, *, job_id: UUID, upstream_id: str) -> SentJob | None:
    """Return what a job has sent, to be compared with this request of the upstream; None if there is no such job."""
    return await session.find_row(_GET_SENT_JOB, job_id=job_id, upstream_id=upstream_id)
