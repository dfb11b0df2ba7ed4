"""The rate estimate in Postgres: what claims read of it, and where learned values are stored.

A claim takes its tokens under the lock on the one row of `upstream_state`, so that all workers share one pace.
`pace` decides how many it may take. Learning has its own transaction, and runs only if there is something to learn.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Final, Generic, NamedTuple, TypeVar

from app.core.database.session import Session
from app.core.database.sql import SqlFolder, columns_of
from app.pace.breaker import BREAK_SECONDS, MEND_SECONDS, Availability, Health, Sample, judge
from app.pace.decide import RateEstimate, update_estimate
from app.pace.models import Second, Throttled
from app.pace.pace import Bucket, Lately, Pace, pace_of

SECONDS_KEPT = 600
SECONDS_SEEN = 200
HEALTH_KEPT_SECONDS = 60.0
PROBE_SECONDS = 1.0
"""The time between two requests for the balance while the breaker is open."""

Claimed = TypeVar("Claimed")


class Granted(NamedTuple, Generic[Claimed]):
    """What a claim got. at: the database clock, seconds since 1970.

    wait_seconds: only the rate estimate held back more work; claim again after this time. None: it did not.
    alarmed: a process suspects that the upstream is unavailable, or the breaker is open: all processes report their exchanges.
    """

    rows: list[Claimed]
    at: float
    wait_seconds: float | None
    alarmed: bool = False
    trial: bool = False
    """Whether the reads are sent despite a pause, to find out whether they count."""


# Rows that begin with the columns of a RateEstimate. Their own fields need defaults because those of a RateEstimate have them.


@dataclass(frozen=True, slots=True)
class _LoadedRow(RateEstimate):
    """A row of `load_budget.sql`. now: the database clock, seconds since 1970."""

    now: float = 0.0


@dataclass(frozen=True, slots=True)
class _PaceRow(RateEstimate):
    """A row of `read_pace.sql`: the fields of a RateEstimate, a Bucket, a Lately and a PaceReading.

    stale: another transaction held the lock. Only the columns of upstream_state are current.
    """

    tokens: float = 0.0
    read_tokens: float = 0.0
    refilled_at: float = 0.0
    submits: int = 0
    reads: int = 0
    all_kinds: int = 0
    now: float = 0.0
    ceiling_per_minute: float | None = None
    virtual_time: float = 0.0
    alarmed: bool = False
    paused: bool = False
    doubted: bool | None = None
    places: int | None = None
    stale: bool = False
    synchronous_commit: str = ""


class _RefusedRow(NamedTuple):
    """A parameter row of `count_refused.sql`."""

    at: int
    refused_submits: int
    refused_reads: int


_BUDGET_FIELDS: Final = tuple(field.name for field in fields(RateEstimate))

_SQL = SqlFolder(__file__)
_READ_PACE = _SQL.query("read_pace", _PaceRow)
_LOAD = _SQL.query("load_budget", _LoadedRow)
_SAVE = _SQL.command("save_budget")
_COUNT_REFUSED = _SQL.command("count_refused")
_SECONDS = _SQL.query("list_seconds", Second)
_FORGET_SECONDS = _SQL.command("forget_seconds")
_TELL = _SQL.command("tell_health")
_HEALTH = _SQL.query("list_health", Health)
_CONFIGURE = _SQL.command("configure")


class Learned(NamedTuple):
    """The rate estimate before and after. ask: the caller should read the balance and report the result."""

    before: RateEstimate
    after: RateEstimate
    ask: bool


async def learn(
    session: Session,
    *,
    held: bool,
    refused: Sequence[Throttled],
    passed: int,
    ended: Iterable[Second],
    heard: Sequence[Sample] | None = None,
    alarm: bool = False,
) -> Learned:
    """Store what was observed, and learn from it. Four statements, two more if `heard` is not None.

    ended: 429s by second, not stored before. heard: last exchanges of jobs, to judge whether the upstream is unavailable.
    alarm: all processes should report theirs.
    """
    row = await session.get_row(_LOAD)
    before, now = _budget_of(row), row.now
    told = [_RefusedRow(second.at, second.refused_submits, second.refused_reads) for second in ended]
    if told:
        await session.run(_COUNT_REFUSED, **columns_of(_RefusedRow, told))
    seconds = await session.rows(_SECONDS, seconds=float(SECONDS_SEEN))
    health = [] if heard is None else await _hear(session, heard, before, now)
    after = update_estimate(before, now=now, held=held, refused=refused, passed=passed, seconds=seconds, health=health)
    await session.run(_SAVE, **{name: getattr(after, name) for name in _BUDGET_FIELDS}, alarm=alarm)
    if after.broken_at is None:
        ask = before.broken_at is None and judge(health, broken=False) is Availability.ASK
    else:
        ask = all(group.at < now - PROBE_SECONDS for group in health if group.is_probe)
    return Learned(before, after, ask)


def _budget_of(row: RateEstimate) -> RateEstimate:
    """The rate estimate in a row that begins with one."""
    return RateEstimate(*(getattr(row, name) for name in _BUDGET_FIELDS))


async def _hear(session: Session, heard: Sequence[Sample], budget: RateEstimate, now: float) -> list[Health]:
    """Store these samples, and return those that all processes reported lately."""
    await session.run(_TELL, **columns_of(Sample, heard), kept_seconds=HEALTH_KEPT_SECONDS)
    seconds = BREAK_SECONDS if budget.broken_at is None else MEND_SECONDS
    return await session.rows(_HEALTH, since=max(now - seconds, budget.judged_at))


async def configure(session: Session, *, ceiling_per_minute: float | None, max_in_flight: int | None) -> None:
    """Store the configured maximums. The values of the last process win. One statement."""
    await session.run(_CONFIGURE, ceiling_per_minute=ceiling_per_minute, max_in_flight=max_in_flight)


@dataclass(frozen=True, slots=True)
class PaceReading:
    """What a claim knows of the upstream, under the lock. now: the transaction's instant, seconds since 1970.

    virtual_time: where a tenant starts that had nothing to send for a while. alarmed: as in Granted. paused: all submits are.
    doubted: after trouble with the account, until a submit is accepted.
    places: how many more jobs may be in flight; infinite: any number.
    """

    pace: Pace
    now: float
    virtual_time: float
    alarmed: bool
    paused: bool
    doubted: bool
    places: float


async def read_pace(session: Session, *, for_submits: bool) -> PaceReading:
    """Return what may be sent now. Until the transaction ends no other one claims or learns. One statement, or two
    if another transaction held the lock first."""
    row = await session.get_row(_READ_PACE, for_submits=for_submits)
    if row.stale:
        row = await session.get_row(_READ_PACE, for_submits=for_submits)
    pace = pace_of(
        row,
        Bucket(row.tokens, row.read_tokens, row.refilled_at),
        now=row.now,
        lately=Lately(row.submits, row.reads, row.all_kinds),
        ceiling_per_minute=row.ceiling_per_minute,
    )
    places = math.inf if row.places is None else row.places
    return PaceReading(pace, row.now, row.virtual_time, row.alarmed, row.paused, bool(row.doubted), places)


async def forget_seconds(session: Session) -> None:
    """Delete counts that nobody reads any more. One statement."""
    await session.run(_FORGET_SECONDS, kept_seconds=float(SECONDS_KEPT))
