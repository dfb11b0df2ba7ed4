"""The upstream's budget in Postgres: what claims read of it, and where what was learned is kept.

A claim takes its tokens under the lock on the one row of `upstream_state`, so that any number of workers share one pace; how
many it may take is said by `pace`. Learning is a transaction of its own, only when there is something to learn.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

from app.admission.breaker import BREAK_SECONDS, MEND_SECONDS, Health, Sample, Verdict, judge
from app.admission.decide import Budget, learned
from app.admission.models import Refused, Second
from app.admission.pace import Bucket, Lately, Pace, pace_of
from app.core.db import Row, Session, columns

SECONDS_KEPT = 600
SECONDS_SEEN = 200
HEALTH_KEPT_SECONDS = 60.0
PROBE_SECONDS = 1.0
"""Between two balances asked for while the breaker is open."""

COUNT_GRANTED = """
INSERT INTO upstream_seconds (at, {kind})
SELECT date_trunc('second', now()), granted FROM (SELECT ({number})::integer AS granted) AS counted WHERE granted > 0
ON CONFLICT (at) DO UPDATE SET {kind} = upstream_seconds.{kind} + excluded.{kind}
"""
"""Counts requests granted now. `kind`: submits or reads; `number`: SQL for how many."""


class Taken(NamedTuple):
    """What a claim was given. at: the database's clock then, seconds since 1970.

    wait_seconds: there was more, and only the budget kept it back; look again then. None: it did not.
    alarmed: some process suspects that the upstream is away, or it is taken to be so: all tell what they hear.
    """

    rows: list[Row]
    at: float
    wait_seconds: float | None
    alarmed: bool = False
    trial: bool = False
    """Reads sent in spite of a pause, to find out whether they count."""


_INSTANTS = ("cut_at", "resume_at", "trial_at", "learned_at", "broken_at", "judged_at")
_KEPT = {field.name: "limit_per_minute" if field.name == "limit" else field.name for field in fields(Budget)}
_READ = ", ".join(
    f"date_part('epoch', {column}) AS {name}" if name in _INSTANTS else f"{column} AS {name}"
    for name, column in _KEPT.items()
)
_WRITTEN = ", ".join(
    f"{column} = to_timestamp(${place})" if name in _INSTANTS else f"{column} = ${place}"
    for place, (name, column) in enumerate(_KEPT.items(), start=1)
)

_BUCKET = """
    state.tokens, state.read_tokens, date_part('epoch', state.refilled_at) AS refilled_at
"""

# What is known of the upstream's limit, what was granted in the last minute, and what stops all submits? Minutes are counted
# only where something is limited, and jobs in flight ($1: for submits) only where their number is. Whoever waited for the lock
# has the row of now, and beside it what stood there before: `stale`.
#
# The commit of this transaction does not wait for the disk, or whoever claims next would. Where Postgres dies, a claim of the
# last moments may be forgotten; that a job is sent is written down durably by a later transaction (`open_attempts`), which does
# not come to be without the claim.
_KNOWN = f"""
SELECT
    {_READ}, {_BUCKET}, lately.*,
    date_part('epoch', now()) AS now, state.ceiling_per_minute, state.virtual_time,
    state.broken_at IS NOT NULL OR state.alarmed_at > now() - interval '{BREAK_SECONDS} seconds' AS alarmed,
    coalesce(state.paused_until > now(), false)
        OR EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL) AS paused,
    state.paused_reason = 'account' AS doubted,
    CASE WHEN $1 AND state.max_in_flight IS NOT NULL THEN
        state.max_in_flight - (SELECT coalesce(sum(in_flight + claimed), 0) FROM queues WHERE subject_id = tenant_id)
    END AS places,
    state.xmin <> (SELECT before.xmin FROM upstream_state AS before) AS stale,
    set_config('synchronous_commit', 'off', true) AS synchronous_commit
FROM upstream_state AS state CROSS JOIN LATERAL (
    SELECT
        coalesce(sum(submits - refused_submits) FILTER (WHERE at > now() - interval '60 seconds'), 0) AS submits,
        coalesce(sum(reads - refused_reads) FILTER (WHERE at > now() - interval '60 seconds'), 0) AS reads,
        coalesce(sum(submits + reads), 0) AS all_kinds
    FROM upstream_seconds
    WHERE (state.limit_per_minute IS NOT NULL OR state.ceiling_per_minute IS NOT NULL)
        AND at > now() - interval '61 seconds'
) AS lately
FOR UPDATE OF state
"""  # noqa: S608

_LOAD = f"""
SELECT {_READ}, date_part('epoch', clock_timestamp()) AS now
FROM upstream_state FOR UPDATE
"""  # noqa: S608

# Whoever goes on after a pause begins with nothing in hand.
_SAVE = f"""
UPDATE upstream_state SET
    tokens = CASE WHEN to_timestamp(${list(_KEPT).index("resume_at") + 1}) > resume_at THEN least(tokens, 0) ELSE tokens END,
    alarmed_at = CASE WHEN ${len(_KEPT) + 1} THEN now() ELSE alarmed_at END,
    updated_at = now(), {_WRITTEN}
"""  # noqa: S608

_COUNT = """
INSERT INTO upstream_seconds AS kept (at, refused_submits, refused_reads)
SELECT to_timestamp(at), refused_submits, refused_reads
FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS t (at, refused_submits, refused_reads)
ORDER BY at
ON CONFLICT (at) DO UPDATE SET
    refused_submits = kept.refused_submits + excluded.refused_submits,
    refused_reads = kept.refused_reads + excluded.refused_reads
"""

# Whoever learns holds the row of upstream_state: no two of these run side by side.
_TELL = """
WITH gone AS (
    DELETE FROM upstream_health WHERE at < now() - make_interval(secs => $6)
)
INSERT INTO upstream_health AS kept (job_id, tenant_id, model, at, failed)
SELECT job_id, tenant_id, model, to_timestamp(at), failed
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::double precision[], $5::boolean[])
    AS t (job_id, tenant_id, model, at, failed)
WHERE to_timestamp(at) > now() - make_interval(secs => $6)
ON CONFLICT (job_id) DO UPDATE SET at = excluded.at, failed = excluded.failed WHERE kept.at < excluded.at
"""

_HEALTH = """
SELECT
    tenant_id, model, count(*)::integer AS jobs, count(*) FILTER (WHERE failed)::integer AS failed,
    extract(epoch FROM max(at))::double precision AS at
FROM upstream_health WHERE at > to_timestamp($1)
GROUP BY tenant_id, model
"""

_LATELY = """
SELECT
    extract(epoch FROM at)::bigint AS at, submits, reads, refused_submits, refused_reads
FROM upstream_seconds WHERE at > now() - make_interval(secs => $1) ORDER BY at
"""

_FORGET = "DELETE FROM upstream_seconds WHERE at < now() - make_interval(secs => $1)"

_CONFIGURE = """
UPDATE upstream_state SET ceiling_per_minute = $1, max_in_flight = $2
WHERE (ceiling_per_minute, max_in_flight) IS DISTINCT FROM ($1, $2)
"""


class Learned(NamedTuple):
    """The budget before and after. ask: whoever has learned this should ask for the balance, and tell."""

    before: Budget
    after: Budget
    ask: bool


async def learn(
    session: Session,
    *,
    held: bool,
    refused: Sequence[Refused],
    passed: int,
    ended: Iterable[Second],
    heard: Sequence[Sample] | None = None,
    alarm: bool = False,
) -> Learned:
    """Write down what was heard and what it teaches. Four statements, two more where `heard` is not None.

    ended: 429s by second, not told before. heard: exchanges by job, to judge by whether the upstream is away. alarm: all
    processes are to tell theirs.
    """
    row = await session.fetchrow(_LOAD)
    assert row is not None, "upstream_state has one row"
    now = row["now"]
    told = [(one.at, one.refused_submits, one.refused_reads) for one in ended]
    if told:
        await session.execute(_COUNT, *columns(told, 3))
    seconds = [Second(**lately) for lately in await session.fetch(_LATELY, float(SECONDS_SEEN))]
    before = Budget(*tuple(row)[: len(_KEPT)])
    health = [] if heard is None else await _hear(session, heard, before, now)
    after = learned(before, now=now, held=held, refused=refused, passed=passed, seconds=seconds, health=health)
    await session.execute(_SAVE, *(getattr(after, name) for name in _KEPT), alarm)
    if after.broken_at is None:
        ask = before.broken_at is None and judge(health, broken=False) is Verdict.ASK
    else:
        ask = all(group.at < now - PROBE_SECONDS for group in health if group.is_probe)
    return Learned(before, after, ask)


async def _hear(session: Session, heard: Sequence[Sample], budget: Budget, now: float) -> list[Health]:
    """Tell these, and hear what all processes have told lately."""
    await session.execute(_TELL, *columns(heard, 5), HEALTH_KEPT_SECONDS)
    seconds = BREAK_SECONDS if budget.broken_at is None else MEND_SECONDS
    return [Health(**row) for row in await session.fetch(_HEALTH, max(now - seconds, budget.judged_at))]


async def configure(session: Session, *, ceiling_per_minute: float | None, max_in_flight: int | None) -> None:
    """Say what the settings allow at most; the last process to say so holds. One statement."""
    await session.execute(_CONFIGURE, ceiling_per_minute, max_in_flight)


@dataclass(frozen=True, slots=True)
class Known:
    """What a claim knows of the upstream, under the lock. now: the transaction's instant, seconds since 1970. virtual_time:
    where a tenant begins that had nothing to send for a while. alarmed: as in Taken. paused: all submits are. doubted: after
    trouble with the account, until a submit is accepted. places: how many more jobs may be in flight; infinite: any number."""

    pace: Pace
    now: float
    virtual_time: float
    alarmed: bool
    paused: bool
    doubted: bool
    places: float


async def read_pace(session: Session, *, for_submits: bool) -> Known:
    """What may go out now. Until the transaction ends no other one claims, or learns. One statement, or two where another
    one was first."""
    row = await session.fetchrow(_KNOWN, for_submits)
    if row is not None and row["stale"]:
        row = await session.fetchrow(_KNOWN, for_submits)
    assert row is not None, "upstream_state has one row"
    given = tuple(row)
    budget = Budget(*given[: len(_KEPT)])
    bucket = Bucket(*given[len(_KEPT) : len(_KEPT) + 3])
    lately = Lately(*given[len(_KEPT) + 3 : len(_KEPT) + 6])
    pace = pace_of(budget, bucket, now=row["now"], lately=lately, ceiling_per_minute=row["ceiling_per_minute"])
    places = math.inf if row["places"] is None else row["places"]
    return Known(pace, row["now"], row["virtual_time"], row["alarmed"], row["paused"], bool(row["doubted"]), places)


async def forget_seconds(session: Session) -> None:
    """Drop counts that nobody asks for any more. One statement."""
    await session.execute(_FORGET, float(SECONDS_KEPT))
