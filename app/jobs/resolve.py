"""An operator's decision on a submission of which nobody could say whether it arrived."""

import json
from typing import NamedTuple
from uuid import UUID

import asyncpg

from app.core.db import Session
from app.core.errors import Conflict, Malformed, Problem
from app.core.sql import SqlFolder
from app.jobs.endings import ENDED, end_jobs
from app.jobs.models import State
from app.jobs.operations import JobNotFound
from app.jobs.transitions import WAS, Move, transition
from app.upstream.wire import upstream_id_of

# Does the upstream's request belong to this unknown job? Its age counts from the sending: the upstream's hour does, too.
_ADOPTED = Move(
    rows="unknown",
    state="'running'",
    reason="'adopted'",
    sets="""
        upstream_id = $2, upstream_state = 'QUEUED', submitted_at = coalesce(jobs.sent_at, now()), due_at = now(), retries = 0,
        takeovers = 0
    """,
)
_ADOPT = f"""
WITH unknown AS (
    SELECT job.id, {WAS}, job.attempt FROM jobs AS job
    WHERE job.id = $1 AND job.state = 'unknown'
        AND NOT EXISTS (SELECT FROM upstream_observations WHERE upstream_id = $2 AND job_id <> $1)
    FOR UPDATE OF job
), settled AS (
    UPDATE attempts SET outcome = 'accepted', settled_at = now(), upstream_id = $2
    FROM unknown WHERE attempts.job_id = unknown.id AND attempts.attempt = unknown.attempt
), {transition(_ADOPTED)}
SELECT id FROM unknown
"""  # noqa: S608

# The operator has established that it never started: it ends, and is not sent again.
_RELEASED = Move(
    rows="unknown",
    state="before.to_state",
    reason="'released'",
    sets="""
        cancel_requested_at = before.cancel_requested_at, due_at = NULL, finished_at = now(),
        error_code = CASE before.to_state WHEN 'failed' THEN 'submission_unknown' END, lease_until = NULL, owner = NULL
    """,
    returning=f"{ENDED}, 'released' AS reason",
)
_RELEASE = f"""
WITH unknown AS (
    SELECT
        job.id, {WAS}, job.cancel_requested_at,
        CASE WHEN job.cancel_requested_at IS NULL THEN 'failed' ELSE 'canceled' END AS to_state
    FROM jobs AS job WHERE job.id = $1 AND job.state = 'unknown'
    FOR UPDATE OF job
), {transition(_RELEASED)}, results AS (
    INSERT INTO job_results (job_id, message)
    SELECT id, 'the answer to the submission was lost; an operator has established that it never started'
    FROM moved WHERE state = 'failed'
)
SELECT * FROM moved
"""  # noqa: S608


class _Unknown(NamedTuple):
    """A job of which somebody decides. taken: the upstream's request is another job's."""

    state: str
    taken: bool


_SQL = SqlFolder(__file__)
_FIND_CLAIM_OF_UPSTREAM_ID = _SQL.query("find_claim_of_upstream_id", _Unknown)
_FIND_JOB_STATE = _SQL.query("find_job_state", str)


class JobNotUnknown(Conflict):
    """409: everybody knows what became of its submission."""

    code = "job_not_unknown"


class UpstreamIdTaken(Conflict):
    """409: the upstream's request is another job's."""

    code = "upstream_id_taken"

    def __init__(self) -> None:
        super().__init__("that upstream id belongs to another job")


def checked_upstream_id(text: str) -> str:
    """An id as the upstream gives them, or Malformed."""
    if upstream_id_of(json.dumps(text)) != text:
        expected = "expected the request id that the upstream gave"
        raise Malformed(f"adopt: {expected}", problems=[Problem("$.adopt", expected)])
    return text


async def adopt_submission(session: Session, *, job_id: UUID, upstream_id: str) -> State:
    """The upstream's request is this unknown job's: it runs on. Raises JobNotFound, JobNotUnknown, UpstreamIdTaken,
    Malformed. The block must end with this call: after UpstreamIdTaken the transaction is lost."""
    checked_upstream_id(upstream_id)
    seen = await session.find_row(_FIND_CLAIM_OF_UPSTREAM_ID, job_id=job_id, upstream_id=upstream_id)
    if seen is None:
        raise JobNotFound
    if seen.taken:
        raise UpstreamIdTaken
    try:
        row = await session.fetchrow(_ADOPT, job_id, upstream_id)
    except asyncpg.UniqueViolationError:
        raise UpstreamIdTaken from None
    if row is None:
        raise await _why_not(session, job_id)
    return State.RUNNING


async def release_submission(session: Session, *, job_id: UUID) -> State:
    """This unknown job never started: it FAILS submission_unknown, or is CANCELED where that was asked for; free of
    charge, and never sent again. Raises JobNotFound, JobNotUnknown."""
    row = await session.fetchrow(_RELEASE, job_id)
    if row is None:
        raise await _why_not(session, job_id)
    await end_jobs(session, ended=[row])
    return State(row["state"])


async def _why_not(session: Session, job_id: UUID) -> JobNotFound | JobNotUnknown:
    state = await session.find_value(_FIND_JOB_STATE, job_id=job_id)
    return JobNotFound() if state is None else JobNotUnknown(f"its submission is not unknown: the job is {state}")
