"""End jobs that never arrived, or send them once more."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.endings import Ended, EndedJob, end_jobs
from app.jobs.models import FINAL, State


class _Attempt(NamedTuple):
    job_id: UUID
    attempt: int


class Absent(NamedTuple):
    """The result of `prove_absent`. moved: the changed jobs. resubmitted: how many are queued again."""

    moved: Sequence[EndedJob]
    ended: Ended
    resubmitted: int


_PROVE = SqlFolder(__file__).query("prove_absent", EndedJob)


async def prove_absent(session: Session, *, attempts: Sequence[tuple[UUID, int]], may_resubmit: bool) -> Absent:
    """End these unknown jobs, whose attempts did not arrive: FAILED with submission_unknown, or CANCELED if a cancel was requested.
    They are free, and nothing becomes exposure. A job with on_unknown `resubmit` is queued once more instead."""
    rows = columns_of(_Attempt, [_Attempt(*attempt) for attempt in attempts])
    moved = await session.rows(_PROVE, **rows, may_resubmit=may_resubmit)
    over = [job for job in moved if job.state in FINAL]
    return Absent(moved, await end_jobs(session, ended=over), sum(job.state == State.QUEUED for job in moved))
