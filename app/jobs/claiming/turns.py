"""Claim the queued jobs that a worker sends next, of all tenants. A claim is one transaction of a few short statements.

It first locks the row of the pace, so that one claim runs at a time. After that it waits for no lock for long: it skips a
tenant one of whose queues stays locked, and it skips locked jobs. All that it reads is locked, and it decides in Python: `pace`
decides how many jobs are sent, `fair_queue` decides which. The last statement writes all of it.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.jobs.claiming.claims import count_reads_due
from app.jobs.claiming.fair_queue import (
    Candidate,
    Choice,
    Parked,
    Queue,
    Turn,
    choose,
    next_virtual_time,
    parked_seen,
    take_turns,
    virtual_times,
)
from app.jobs.estimates.line import NO_LIMIT
from app.pace.budget import PaceReading, read_pace
from app.pace.pace import SUBMIT_PRICE, next_submit_seconds, submits_granted
from app.pace.pauses.queries import COUNT_GRANTED_PART, MAY_SUBMIT_PART

BEYOND_MIN = 8
"""This many more tenants are examined if none of those in turn has a job that may be sent."""
COST_MICRO_MIN = 1_000
"""The lowest cost of a job in virtual time: free jobs use the upstream's rate limit, too."""


class ClaimedJob(NamedTuple):
    """A queued job that was claimed. body: its parameters."""

    id: UUID
    tenant_id: UUID
    fence: int
    model: str
    retries: int
    takeovers: int
    body: bytes


class Claimed(NamedTuple):
    """Claimed jobs in the order in which they are sent. `more`: these are fewer than the pace allows, and another claim may find
    more. `hidden`: none of the examined tenants has a job that may be sent, and there are other tenants. `passed_over`: tenants
    that were skipped because their queues were locked. `at`, `wait_seconds` and `alarmed`: as in Taken."""

    rows: list[ClaimedJob]
    more: bool
    at: float
    wait_seconds: float | None
    hidden: bool
    alarmed: bool = False
    passed_over: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The queues that a claim has locked, and what it knows about the others. `looked_at`: how many tenants in turn order were
    examined. `passed_over`: the tenants that were skipped. `passed_at`: the lowest virtual time of these. `unseen`: the virtual
    times of tenants that were skipped or not examined. `hidden`: whether some were not examined."""

    queues: Sequence[Queue]
    looked_at: int
    passed_over: Sequence[UUID]
    passed_at: float
    unseen: Sequence[float]
    hidden: bool


class _Reached(NamedTuple):
    """A queue that was locked or skipped, and its tenant's turn. weight: null if it was skipped. turn_at: the virtual time of the
    turn."""

    subject_id: UUID
    tenant_id: UUID | None
    weight: float | None
    virtual_time: float | None
    max_in_flight: int | None
    ready: int | None
    claimed: int | None
    in_flight: int | None
    kept_out: bool | None
    place: int | None
    turn_at: float | None


class _Seen(NamedTuple):
    tenant_id: UUID
    seen: int


class _SeenOfKey(NamedTuple):
    subject_id: UUID
    tenant_id: UUID
    seen: int


class _VirtualTime(NamedTuple):
    subject_id: UUID
    virtual_time: float


_SQL = SqlFolder(__file__)
_MAY_SUBMIT = {"may_submit": MAY_SUBMIT_PART}
_LOCK_QUEUES_IN_TURN = _SQL.query("lock_queues_in_turn", _Reached, parts=_MAY_SUBMIT)
_LOCK_CANDIDATES = _SQL.query("lock_candidates", Candidate, parts=_MAY_SUBMIT)
_LOCK_PARKED_OF_KEYS = _SQL.query("lock_parked_of_keys", Parked, parts=_MAY_SUBMIT)
_TAKE_TURNS = _SQL.query("take_turns", ClaimedJob, parts={"count_granted": COUNT_GRANTED_PART})
_DOES_ANYBODY_WAIT = _SQL.query("does_anybody_wait", bool)


async def claim_queued(
    session: Session,
    *,
    owner: UUID,
    jobs_max: int,
    lease_seconds: float,
    lookahead: int = 0,
    passed_over: Collection[UUID] | None = None,
    lock_seconds: float = 0.0,
) -> Claimed:
    """Claim up to `jobs_max` ready jobs. `lookahead`: how many more tenants to examine than jobs may be sent. `passed_over`: the
    tenants that are skipped if their queues are locked; None: all tenants. Raises asyncpg.LockNotAvailableError if the queue of
    any other tenant stays locked for longer than `lock_seconds`. 0: no limit.

    Four statements. Fewer if nothing may be sent or no job is ready; more if due polls also take tokens, or if jobs are parked.
    """
    known = await read_pace(session, for_submits=True)
    reads_due = await count_reads_due(session, reads_max=known.pace.reads_to_count)
    granted = submits_granted(known.pace, asked=jobs_max, reads_due=reads_due)
    allowed = 0 if known.paused else int(max(0, min(granted, known.places, 1 if known.doubted else jobs_max)))
    if not allowed:
        waits = not known.paused and granted == 0 and await session.get_value(_DOES_ANYBODY_WAIT, no_limit=NO_LIMIT)
        wait_seconds = next_submit_seconds(known.pace, granted=0, reads_due=reads_due) if waits else None
        return Claimed([], False, known.now, wait_seconds, False, known.alarmed)
    line = await _lock_line(session, allowed + lookahead, passed_over, lock_seconds)
    turns = take_turns(line.queues, jobs_max=allowed, looked_at=line.looked_at, virtual_time=known.virtual_time)
    keys = {queue.subject_id: queue for queue in line.queues if queue.is_key}
    candidates = await _read_candidates(session, turns, owner)
    parked = await _read_parked(session, keys.values(), jobs_max=allowed)
    passed_at = max(line.passed_at, known.virtual_time)
    choice = choose(turns, keys=keys, candidates=candidates, parked=parked, jobs_max=allowed, passed_at=passed_at)
    left_at = next_virtual_time(turns, choice.chosen, unseen=line.unseen)
    rows = await _take(session, choice, known, left_at, owner, lease_seconds)
    short = len(choice.chosen) < allowed
    held = not short and granted == allowed < jobs_max and left_at is not None
    return Claimed(
        rows,
        more=bool(choice.back) or (left_at is not None and short and bool(choice.chosen or choice.parked)),
        at=known.now,
        wait_seconds=next_submit_seconds(known.pace, granted=allowed, reads_due=reads_due) if held else None,
        hidden=line.hidden and not choice.chosen,
        alarmed=known.alarmed,
        passed_over=line.passed_over,
    )


async def _lock_line(
    session: Session, looked_at: int, passed_over: Collection[UUID] | None, lock_seconds: float
) -> Line:
    to_pass, seconds = (None, 0.0) if passed_over is None else (list(passed_over), lock_seconds)
    rows = await session.rows(
        _LOCK_QUEUES_IN_TURN, tenants_max=looked_at, passed_over=to_pass, lock_seconds=seconds, no_limit=NO_LIMIT,
    )  # fmt: skip
    reached = [row for row in rows if row.tenant_id is not None]
    locked_out = {row.tenant_id for row in reached if row.weight is None and row.tenant_id is not None}
    queues = [Queue(*row[:9]) for row in reached if row.tenant_id not in locked_out]  # type: ignore[arg-type]
    in_turn = [
        (row.place, row.turn_at, row.subject_id) for row in rows if row.place is not None and row.turn_at is not None
    ]
    beyond = [turn_at for place, turn_at, _ in in_turn if place > looked_at]
    passed_at = [turn_at for _, turn_at, subject_id in in_turn if subject_id in locked_out]
    return Line(
        queues,
        looked_at=len(in_turn) - len(beyond),
        passed_over=list(locked_out),
        passed_at=min(passed_at, default=math.inf),
        unseen=[*beyond, *passed_at],
        hidden=bool(beyond),
    )


async def _read_candidates(session: Session, turns: Sequence[Turn], owner: UUID) -> list[Candidate]:
    seen = [_Seen(turn.tenant_id, turn.seen) for turn in turns if turn.seen]
    if not seen:
        return []
    return await session.rows(_LOCK_CANDIDATES, **columns_of(_Seen, seen), owner=owner, cost_micro_min=COST_MICRO_MIN)


async def _read_parked(session: Session, keys: Iterable[Queue], *, jobs_max: int) -> list[Parked]:
    seen = [
        _SeenOfKey(key.subject_id, key.tenant_id, number)
        for key in keys
        if (number := parked_seen(key, jobs_max=jobs_max))
    ]
    return await session.rows(_LOCK_PARKED_OF_KEYS, **columns_of(_SeenOfKey, seen)) if seen else []


async def _take(
    session: Session,
    choice: Choice,
    known: PaceReading,
    left_at: float | None,
    owner: UUID,
    lease_seconds: float,
) -> list[ClaimedJob]:
    """Write the choice. Returns the rows of the claimed jobs, in the order in which they are sent."""
    if not (choice.chosen or choice.parked or choice.back):
        return []
    ids = [turn.job.id for turn in choice.chosen]
    begins_at = left_at if left_at is not None else max((turn.begins_at for turn in choice.chosen), default=0.0)
    times = [_VirtualTime(*item) for item in virtual_times(choice.chosen).items()]
    rows = await session.rows(
        _TAKE_TURNS, going=ids, owner=owner, lease_seconds=lease_seconds, parked=[job.id for job in choice.parked],
        coming_back=[job.id for job in choice.back], **columns_of(_VirtualTime, times), begins_at=begins_at,
        tokens=known.pace.shared - SUBMIT_PRICE.shared * len(ids), read_tokens=known.pace.free,
    )  # fmt: skip
    order = {job_id: place for place, job_id in enumerate(ids)}
    return sorted(rows, key=lambda row: order[row.id])
