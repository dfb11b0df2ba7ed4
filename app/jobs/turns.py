"""Turns: which queued jobs a worker sends next, of all tenants. A claim is one transaction of a few short statements.

It begins with the pace, whose lock lets one claim at a time through. Behind that it waits for nobody for long: a tenant one of
whose queues is locked for long is passed over, and so is a job that is locked. What it reads it reads under lock, and it
decides in Python: `pace` says how many may go, `fair_queue` which ones. The last statement writes down all of it.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from app.admission.budget import COUNT_GRANTED, Known, read_pace
from app.admission.pace import SUBMIT_PRICE, next_submit_seconds, submits_granted
from app.admission.queries import MAY_SUBMIT
from app.core.db import Row, Session, asked, columns
from app.jobs.claims import HANDS_FREE, count_reads_due
from app.jobs.fair_queue import (
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
from app.jobs.queues import KEY_HAS_ROOM, set_patience
from app.jobs.transitions import WAS, Move, transition

KEEPERS_MAX = 20
"""Tenants of keys with room and jobs that are out of line, looked at in one claim."""
BEYOND_MIN = 8
"""So many tenants more are looked at where none of those whose turn it is has a job that may go."""
COST_MICRO_MIN = 1_000
"""What a job counts for at least when tenants take turns: free ones use up the upstream's patience, too."""

# ANY (ARRAY(…)) and LATERAL … LIMIT where a join would do: of a LIMIT that is a parameter the planner expects a tenth of
# all rows, and reads the whole table to join them.

# Of a job that is parked: might it stand in line, as far as pauses go?
_PARKED = f"""job.state = 'queued' AND job.due_at = 'infinity' AND {MAY_SUBMIT}
    AND (job.deadline_at IS NULL OR job.deadline_at > now())"""
# Of a queue: is its tenant paused as a whole? Then what is parked need not be looked through.
_PAUSED = "EXISTS (SELECT FROM pauses AS whole WHERE whole.tenant_id = {0}.tenant_id AND whole.model IS NULL)"

_COUNTS = "subject_id, weight, virtual_time, max_in_flight, ready, claimed, in_flight, kept_out"

# Whose turn is it? The $1 tenants with the lowest virtual time that have jobs in line and room for them, and those with keys
# that have room for parked jobs; of the next tenant only where it would begin. Their queues are locked. Those of the tenants
# in $2, or of all where that is null, are passed over where somebody else has locked them: such a one is told by `weight`, which
# is null. For the others this waits $3 seconds, in the order in which all others lock queues.
_LOCK_QUEUES = f"""
WITH patience AS MATERIALIZED ({set_patience("$3::double precision")}), in_turn AS MATERIALIZED (
    SELECT subject_id, virtual_time, row_number() OVER (ORDER BY virtual_time) AS place
    FROM queues WHERE runnable
    ORDER BY virtual_time LIMIT $1::bigint + 1
), keepers AS MATERIALIZED (
    SELECT tenant_id FROM queues
    WHERE {KEY_HAS_ROOM} AND CASE WHEN {_PAUSED.format("queues")} THEN false
        ELSE (SELECT true FROM jobs AS job WHERE job.key_id = queues.subject_id AND {_PARKED} LIMIT 1)
    END
    LIMIT {KEEPERS_MAX}
), reached AS MATERIALIZED (
    SELECT subject_id, tenant_id, tenant_id = ANY ($2::uuid[]) IS NOT FALSE AS passed FROM queues
    WHERE tenant_id = ANY (ARRAY(
        SELECT subject_id FROM in_turn WHERE place <= $1::bigint UNION SELECT tenant_id FROM keepers
    ))
), waited_for AS MATERIALIZED (
    SELECT {_COUNTS} FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM reached WHERE NOT passed)) AND (SELECT taken FROM patience)
    ORDER BY subject_id
    FOR UPDATE
), free AS MATERIALIZED (
    SELECT {_COUNTS} FROM queues
    WHERE subject_id = ANY (ARRAY(SELECT subject_id FROM reached WHERE passed))
        AND (SELECT count(*) FROM waited_for) >= 0
    ORDER BY subject_id
    FOR UPDATE SKIP LOCKED
)
SELECT
    subject_id, reached.tenant_id, locked.weight, locked.virtual_time, locked.max_in_flight, locked.ready,
    locked.claimed, locked.in_flight, locked.kept_out, in_turn.place, in_turn.virtual_time AS turn_at
FROM reached LEFT JOIN (TABLE waited_for UNION ALL TABLE free) AS locked USING (subject_id)
FULL JOIN in_turn USING (subject_id)
"""  # noqa: S608

# Which of the jobs in line of these tenants may go, so many of each?
_CANDIDATES = f"""
SELECT job.id, turn.tenant_id, job.key_id, job.rank_at, job.suspect, job.cost
FROM unnest($1::uuid[], $3::bigint[]) AS turn (tenant_id, seen) CROSS JOIN LATERAL (
    SELECT job.id, job.key_id, job.rank_at, job.takeovers > 1 AS suspect, greatest(job.held_micro, $4) AS cost
    FROM jobs AS job
    WHERE job.tenant_id = turn.tenant_id AND job.ready AND job.owner IS NULL
        AND (job.deadline_at IS NULL OR job.deadline_at > now())
        AND {MAY_SUBMIT}
        AND (job.takeovers < 2 OR {HANDS_FREE})
    ORDER BY job.rank_at
    LIMIT turn.seen
    FOR UPDATE OF job SKIP LOCKED
) AS job
"""  # noqa: S608

# Which parked jobs of these keys might stand in line, so many of each?
_PARKED_OF_KEYS = f"""
SELECT job.id, job.tenant_id, job.key_id, job.rank_at
FROM unnest($1::uuid[], $2::uuid[], $3::bigint[]) AS key (subject_id, tenant_id, seen) CROSS JOIN LATERAL (
    SELECT job.id, job.tenant_id, job.key_id, job.rank_at FROM jobs AS job
    WHERE job.key_id = key.subject_id AND {_PARKED}
    ORDER BY job.rank_at
    LIMIT CASE WHEN {_PAUSED.format("key")} THEN 0 ELSE key.seen END
    FOR UPDATE OF job SKIP LOCKED
) AS job
"""  # noqa: S608

# All that was decided, under the locks of the statements before: $1 go, $4 are parked, $5 come back into line.
_HELD = f"SELECT job.id, {WAS} FROM jobs AS job WHERE job.id = ANY ({{0}}::uuid[])"  # noqa: S608
_TAKEN = Move(
    name="taken",
    rows="goes",
    sets="lease_until = now() + make_interval(secs => $3), owner = $2, fence = jobs.fence + 1",
    returning="jobs.fence, jobs.model, jobs.retries, jobs.takeovers",
)
_PARKED_NOW = Move(name="parked", rows="leaves", sets="ready = false, due_at = 'infinity'")
_BACK = Move(name="back", rows="comes_back", sets="ready = true, due_at = jobs.created_at")
_TAKE = f"""
WITH goes AS (
    {_HELD.format("$1")}
), leaves AS (
    {_HELD.format("$4")}
), comes_back AS (
    {_HELD.format("$5")}
), times AS (
    {asked(6, subject_id="uuid", virtual_time="double precision")}
), {transition(_TAKEN, _PARKED_NOW, _BACK, virtual_times="times", locked_before=True)}, spent AS (
    UPDATE upstream_state SET
        virtual_time = greatest(virtual_time, $8), tokens = $9, read_tokens = $10,
        refilled_at = greatest(refilled_at, now())
    WHERE cardinality($1::uuid[]) > 0
), tallied AS (
    {COUNT_GRANTED.format(kind="submits", number="cardinality($1::uuid[])")}
)
SELECT taken.id, taken.tenant_id, taken.fence, taken.model, taken.retries, taken.takeovers, input.body
FROM taken CROSS JOIN LATERAL (SELECT body FROM job_inputs WHERE job_id = taken.id LIMIT 1) AS input
"""  # noqa: S608

# Does a tenant wait for a token?
_ANYBODY_WAITS = f"""
SELECT
    (SELECT subject_id FROM queues WHERE runnable ORDER BY virtual_time LIMIT 1) IS NOT NULL
    OR EXISTS (SELECT FROM queues WHERE {KEY_HAS_ROOM})
"""  # noqa: S608


class Claimed(NamedTuple):
    """Claimed jobs in the order of their turns: id, tenant_id, fence, model, retries, takeovers, body. `more`: these are
    fewer than might go, and there is more to be had for whoever asks again. `hidden`: none of the tenants looked at has a
    job that may go, and there are others. `passed_over`: tenants whose queues somebody else had locked. `at`, `wait_seconds`
    and `alarmed` as in Taken."""

    rows: list[Row]
    more: bool
    at: float
    wait_seconds: float | None
    hidden: bool
    alarmed: bool = False
    passed_over: Sequence[UUID] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """The queues that a claim has locked, and what it knows of those that it has not. `looked_at`: how many tenants had their
    turn. `passed_at`: the least virtual time of tenants in line that were passed over. `unseen`: those of tenants in line that
    were passed over or not looked at; `hidden`: whether some were not looked at."""

    queues: Sequence[Queue]
    looked_at: int
    passed_over: Sequence[UUID]
    passed_at: float
    unseen: Sequence[float]
    hidden: bool


async def claim_queued(
    session: Session,
    *,
    owner: UUID,
    most: int,
    lease_seconds: float,
    beyond: int = 0,
    passed_over: Collection[UUID] | None = None,
    lock_seconds: float = 0.0,
) -> Claimed:
    """Up to `most` of the jobs in line. `beyond`: how many tenants to look at beside so many. `passed_over`: the tenants that
    are passed over where somebody else has locked their queues; None: all of them. Raises asyncpg.LockNotAvailableError where
    the queue of another one is locked for longer than `lock_seconds`; 0: it waits as long as it takes.

    Four statements; fewer where nothing may go or is there, more where due polls take tokens, too, or jobs are parked.
    """
    known = await read_pace(session, for_submits=True)
    reads_due = await count_reads_due(session, most=known.pace.reads_to_count)
    granted = submits_granted(known.pace, asked=most, reads_due=reads_due)
    allowed = 0 if known.paused else int(max(0, min(granted, known.places, 1 if known.doubted else most)))
    if not allowed:
        waits = not known.paused and granted == 0 and await session.fetchval(_ANYBODY_WAITS)
        wait_seconds = next_submit_seconds(known.pace, granted=0, reads_due=reads_due) if waits else None
        return Claimed([], False, known.now, wait_seconds, False, known.alarmed)
    line = await _lock_line(session, allowed + beyond, passed_over, lock_seconds)
    turns = take_turns(line.queues, most=allowed, looked_at=line.looked_at, virtual_time=known.virtual_time)
    keys = {queue.subject_id: queue for queue in line.queues if queue.is_key}
    candidates = await _read_candidates(session, turns, owner)
    parked = await _read_parked(session, keys.values(), most=allowed)
    passed_at = max(line.passed_at, known.virtual_time)
    choice = choose(turns, keys=keys, candidates=candidates, parked=parked, most=allowed, passed_at=passed_at)
    left_at = next_virtual_time(turns, choice.chosen, unseen=line.unseen)
    rows = await _take(session, choice, known, left_at, owner, lease_seconds)
    short = len(choice.chosen) < allowed
    held = not short and granted == allowed < most and left_at is not None
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
    rows = await session.fetch(_LOCK_QUEUES, looked_at, to_pass, seconds)
    reached = [row for row in rows if row["tenant_id"] is not None]
    locked_out = {row["tenant_id"] for row in reached if row["weight"] is None}
    queues = [Queue(*tuple(row)[:9]) for row in reached if row["tenant_id"] not in locked_out]
    in_turn = [row for row in rows if row["place"] is not None]
    beyond = [row["turn_at"] for row in in_turn if row["place"] > looked_at]
    passed_at = [row["turn_at"] for row in in_turn if row["subject_id"] in locked_out]
    return Line(
        queues,
        looked_at=len(in_turn) - len(beyond),
        passed_over=list(locked_out),
        passed_at=min(passed_at, default=math.inf),
        unseen=[*beyond, *passed_at],
        hidden=bool(beyond),
    )


async def _read_candidates(session: Session, turns: Sequence[Turn], owner: UUID) -> list[Candidate]:
    seen = [(turn.tenant_id, turn.seen) for turn in turns if turn.seen]
    if not seen:
        return []
    tenant_ids, limits = columns(seen, 2)
    rows = await session.fetch(_CANDIDATES, tenant_ids, owner, limits, COST_MICRO_MIN)
    return [Candidate(*row) for row in rows]


async def _read_parked(session: Session, keys: Iterable[Queue], *, most: int) -> list[Parked]:
    seen = [(key.subject_id, key.tenant_id, number) for key in keys if (number := parked_seen(key, most=most))]
    return [Parked(*row) for row in await session.fetch(_PARKED_OF_KEYS, *columns(seen, 3))] if seen else []


async def _take(
    session: Session,
    choice: Choice,
    known: Known,
    left_at: float | None,
    owner: UUID,
    lease_seconds: float,
) -> list[Row]:
    """Write down what was chosen; gives the rows of the jobs that go, in their order."""
    if not (choice.chosen or choice.parked or choice.back):
        return []
    ids = [one.job.id for one in choice.chosen]
    begins_at = left_at if left_at is not None else max((one.begins_at for one in choice.chosen), default=0.0)
    rows = await session.fetch(
        _TAKE,
        ids,
        owner,
        lease_seconds,
        [job.id for job in choice.parked],
        [job.id for job in choice.back],
        *columns(list(virtual_times(choice.chosen).items()), 2),
        begins_at,
        known.pace.shared - SUBMIT_PRICE.shared * len(ids),
        known.pace.free,
    )
    order = {job_id: place for place, job_id in enumerate(ids)}
    return sorted(rows, key=lambda row: order[row["id"]])
