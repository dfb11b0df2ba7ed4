"""The upstream's budget in Postgres: how claims are granted their share, and where what was learned is kept.

A claim takes tokens in its own statement, under the lock on the one row of `upstream_state`, so that any number of
workers share one pace. Learning is a transaction of its own, only when there is something to learn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import NamedTuple

from app.admission.breaker import BREAK_SECONDS, MEND_SECONDS, Health, Sample, Verdict, judge
from app.admission.decide import (
    BURST_MIN,
    BURST_SECONDS,
    FREE_NATS,
    RISE_TO,
    TRICKLE_RATE,
    Budget,
    Refused,
    Second,
    learned,
)
from app.core.db import Row, Session, columns

SECONDS_KEPT = 600
SECONDS_SEEN = 200
LOOK_SECONDS_MIN = 0.02
"""Between two looks for tokens: what they bring in between is taken in one go."""
LOOK_SECONDS_MAX = 1.0
"""The same the other way round: the budget may be another one by then."""
ROOM_SECONDS = 0.25
"""The same where a minute is full."""
HEALTH_KEPT_SECONDS = 60.0
PROBE_SECONDS = 1.0
"""Between two balances asked for while the breaker is open."""

# What may go out now? shared: for all that counts towards the limit. free: for reads that do not. room: what the trailing
# minute still holds of the limit, room_of_all: of the ceiling; null: no limit. Of a burst, reads that are due come first.
PACE_CTES = f"""
state AS MATERIALIZED (
    SELECT * FROM upstream_state FOR UPDATE
), pace AS MATERIALIZED (
    SELECT
        state.virtual_time, state.paused_until, state.paused_reason, state.broken_at IS NOT NULL AS broken,
        state.broken_at IS NOT NULL OR state.alarmed_at > now() - interval '{BREAK_SECONDS} seconds' AS alarmed,
        state.doubt >= {FREE_NATS} AS reads_free, state.limit_per_minute, state.max_in_flight, state.trial_reads,
        greatest(0, extract(epoch FROM state.resume_at - now()))::double precision AS resume_seconds,
        rates.*, refilled.*,
        least(
            greatest(state.limit_per_minute * {RISE_TO}, state.rate * 60, 1) - lately.counting,
            state.ceiling_per_minute - lately.all_kinds
        ) AS room,
        state.ceiling_per_minute - lately.all_kinds AS room_of_all
    FROM state
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN state.broken_at IS NULL
                THEN least(state.rate, state.ease_rate, state.ceiling_per_minute / 60) ELSE {TRICKLE_RATE}
            END AS shared_rate,
            CASE WHEN state.broken_at IS NULL
                THEN least(state.ease_rate, state.ceiling_per_minute / 60) ELSE {TRICKLE_RATE}
            END AS free_rate
    ) AS rates
    CROSS JOIN LATERAL (
        SELECT
            least(
                greatest({BURST_MIN}, {BURST_SECONDS} * shared_rate),
                state.tokens + shared_rate
                    * greatest(0, extract(epoch FROM now() - greatest(state.refilled_at, state.resume_at)))
            ) AS shared,
            least(
                greatest({BURST_MIN}, {BURST_SECONDS} * free_rate),
                state.read_tokens + free_rate * greatest(0, extract(epoch FROM now() - state.refilled_at))
            ) AS free
    ) AS refilled
    CROSS JOIN LATERAL (
        SELECT
            CASE WHEN state.limit_per_minute IS NOT NULL THEN coalesce(sum(
                submits - refused_submits + CASE WHEN state.doubt < {FREE_NATS} THEN reads - refused_reads ELSE 0 END
            ) FILTER (WHERE at > now() - interval '60 seconds'), 0) END AS counting,
            coalesce(sum(submits + reads), 0) AS all_kinds
        FROM upstream_seconds
        WHERE (state.limit_per_minute IS NOT NULL OR state.ceiling_per_minute IS NOT NULL)
            AND at > now() - interval '61 seconds'
    ) AS lately
)
"""  # noqa: S608
"""Begins a statement that claims: `pace` has one row, and the claims of others wait until this one is committed."""

SUBMITS_GRANTED = """
SELECT
    due.reads AS reads_due,
    CASE WHEN pace.broken OR pace.resume_seconds > 0 THEN 0
        ELSE greatest(0, least(floor(pace.shared - due.reads + 1e-6), floor(pace.room)))
    END::bigint AS granted
FROM (
    SELECT CASE WHEN pace.reads_free OR pace.limit_per_minute IS NULL THEN 0 ELSE (
        SELECT count(*) FROM (
            SELECT FROM jobs
            WHERE state = 'running' AND due_at <= now() AND takeovers = 0 AND (lease_until IS NULL OR lease_until < now())
                AND NOT EXISTS (SELECT FROM pauses WHERE what = 'all')
            LIMIT ceil(greatest(pace.shared, 0))::bigint
        ) AS several
    ) END AS reads
) AS due
"""
"""How many submits may go out now, by the pace alone."""

READS_GRANTED = """
SELECT CASE
    WHEN pace.reads_free THEN greatest(0, floor(least(pace.free + 1e-6, pace.room_of_all)))
    WHEN pace.resume_seconds > 0 THEN CASE WHEN pace.broken THEN 0 ELSE pace.trial_reads END
    ELSE greatest(0, floor(least(pace.shared + 1e-6, pace.room)))
END::bigint AS granted
"""
"""How many reads may go out now."""


def next_token_seconds(missing: str, rate: str, room: str, resume: str) -> str:
    """SQL for when to look again for a token, in seconds: `missing` at this rate, in a minute with so much room, after a
    pause."""
    return f"""least({LOOK_SECONDS_MAX}, greatest(
        {LOOK_SECONDS_MIN}, {resume}, ({missing}) / {rate}, CASE WHEN {room} < 1 THEN {ROOM_SECONDS} END
    ))::double precision"""


def count_granted(kind: str, number: str) -> str:
    """A statement that counts requests granted now; `number`: SQL for how many."""
    return f"""
    INSERT INTO upstream_seconds (at, {kind})
    SELECT date_trunc('second', now()), granted FROM (SELECT ({number})::integer AS granted) AS counted WHERE granted > 0
    ON CONFLICT (at) DO UPDATE SET {kind} = upstream_seconds.{kind} + excluded.{kind}
    """  # noqa: S608


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
    f"extract(epoch FROM {column})::double precision AS {name}" if name in _INSTANTS else f"{column} AS {name}"
    for name, column in _KEPT.items()
)
_WRITTEN = ", ".join(
    f"{column} = to_timestamp(${place})" if name in _INSTANTS else f"{column} = ${place}"
    for place, (name, column) in enumerate(_KEPT.items(), start=1)
)

_LOAD = f"SELECT extract(epoch FROM clock_timestamp())::double precision AS now, {_READ} FROM upstream_state FOR UPDATE"  # noqa: S608

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
    given = dict(row)
    now = given.pop("now")
    told = [(one.at, one.refused_submits, one.refused_reads) for one in ended]
    if told:
        await session.execute(_COUNT, *columns(told, 3))
    seconds = [Second(**lately) for lately in await session.fetch(_LATELY, float(SECONDS_SEEN))]
    before = Budget(**given)
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


async def lock_budget(session: Session) -> None:
    """Let one claim at a time through from here on, until the transaction ends: the next statement sees what those before
    have taken. One statement."""
    await session.execute("SELECT FROM upstream_state FOR UPDATE")


async def forget_seconds(session: Session) -> None:
    """Drop counts that nobody asks for any more. One statement."""
    await session.execute(_FORGET, float(SECONDS_KEPT))
