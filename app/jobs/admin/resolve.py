"""An operator's decision about an unknown submission."""

import json
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict, Malformed, Problem
from app.jobs.endings import EndedJob, end_jobs
from app.jobs.models import Resolution, State
from app.jobs.operations import JobNotFound
from app.jobs.unknown.adopting import Adoption, adopt_attempts
from app.upstream.wire import upstream_id_of


class _Unknown(NamedTuple):
    """A job to decide about. taken: the upstream's request belongs to another job."""

    state: str
    attempt: int
    taken: bool


_SQL = SqlFolder(__file__)
_FIND_CLAIM_OF_UPSTREAM_ID = _SQL.query("find_claim_of_upstream_id", _Unknown)
_FIND_JOB_STATE = _SQL.query("find_job_state", str)
_RELEASE_SUBMISSION = _SQL.query("release_submission", EndedJob)


class JobNotUnknown(Conflict):
    """409: the job is not unknown."""

    code = "job_not_unknown"


class UpstreamIdTaken(Conflict):
    """409: the upstream's request belongs to another job."""

    code = "upstream_id_taken"

    def __init__(self) -> None:
        super().__init__("this upstream id belongs to another job")


def checked_upstream_id(text: str) -> str:
    """Return an id as the upstream gives them. Raises Malformed otherwise."""
    if upstream_id_of(json.dumps(text)) != text:
        expected = "expected a request id of the upstream"
        raise Malformed(f"adopt: {expected}", problems=[Problem("$.adopt", expected)])
    return text


async def adopt_submission(session: Session, *, job_id: UUID, upstream_id: str) -> State:
    """Give the upstream's request to this unknown job, which then runs. Raises JobNotFound, JobNotUnknown, UpstreamIdTaken or
    Malformed. This must be the last call of its transaction, which is aborted after UpstreamIdTaken."""
    checked_upstream_id(upstream_id)
    seen = await session.find_row(_FIND_CLAIM_OF_UPSTREAM_ID, job_id=job_id, upstream_id=upstream_id)
    if seen is None:
        raise JobNotFound
    if seen.taken:
        raise UpstreamIdTaken
    try:
        adoption = Adoption(job_id, seen.attempt, upstream_id)
        adopted = await adopt_attempts(session, adoptions=[adoption], resolution=Resolution.OPERATOR)
    except asyncpg.UniqueViolationError:
        raise UpstreamIdTaken from None
    if not adopted:
        raise await _why_not(session, job_id)
    return State.RUNNING


async def release_submission(session: Session, *, job_id: UUID) -> State:
    """End this unknown job, which never started: FAILED with submission_unknown, or CANCELED if a cancel was requested. It is not
    charged, and never sent again. Raises JobNotFound or JobNotUnknown."""
    job = await session.find_row(_RELEASE_SUBMISSION, job_id=job_id)
    if job is None:
        raise await _why_not(session, job_id)
    await end_jobs(session, ended=[job])
    return State(job.state)


async def _why_not(session: Session, job_id: UUID) -> JobNotFound | JobNotUnknown:
    state = await session.find_value(_FIND_JOB_STATE, job_id=job_id)
    return JobNotFound() if state is None else JobNotUnknown(f"the job is {state}; expected a job in state unknown")
