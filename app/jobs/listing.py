"""A tenant's list of jobs, newest first. Whatever it is filtered by, a page costs a bounded number of rows.

One filter is the way in: it has an index that is in the list's order. The others are checked on what comes that way. Where
several filters have an index, the one with the fewest jobs is the way in.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.core.db import ReadSession, Row
from app.jobs.models import FINAL, State
from app.jobs.queries import SHOWN

SCAN_MAX = 5_000
"""Jobs that are looked at for one page at most. What lies beyond is the next page's, be this one full or not."""
COUNT_MAX = 1_000
"""How far a filter's jobs are counted, to find the way in."""


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of a tenant's jobs are wanted; all bounds are exclusive, None is no bound. `after`: the cursor."""

    after: UUID | None
    states: list[str] | None
    model: str | None
    created_after: datetime | None
    created_before: datetime | None
    metadata: dict[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """Jobs of a page, at most as many as asked for. `scanned_to`: where it stopped looking, None: at the end."""

    rows: list[Row]
    scanned_to: UUID | None


class Way(StrEnum):
    """By which index the jobs are found."""

    ALL = "all"
    METADATA = "metadata"
    MODEL = "model"
    FINISHED = "finished"
    QUEUED = "queued"
    IN_FLIGHT = "in_flight"


# One bound is enough for an index scan to begin there: where `created_before` comes first, no id is below its own.
_BOUND = """
bound AS MATERIALIZED (
    SELECT
        least(cursor.at, coalesce($3, 'infinity'::timestamptz)) AS at,
        CASE WHEN cursor.at < coalesce($3, 'infinity'::timestamptz) THEN $2
            ELSE '00000000-0000-0000-0000-000000000000'::uuid END AS id
    FROM (
        SELECT coalesce((SELECT created_at FROM jobs WHERE id = $2 AND tenant_id = $1), 'infinity') AS at
    ) AS cursor
)
"""
_BOUNDS = """
    (created_at, {id}) < ((SELECT at FROM bound), (SELECT id FROM bound))
    AND created_at > coalesce($4, '-infinity'::timestamptz)
"""
_OF_JOBS = "SELECT id, created_at FROM jobs WHERE tenant_id = $1 AND {condition}"
_ORDERED = f"{_OF_JOBS} AND {_BOUNDS.format(id='id')}"
"""Of an index that is in the list's order."""
_FEW = f"SELECT id, created_at FROM ({_OF_JOBS} OFFSET 0) AS few WHERE {_BOUNDS.format(id='id')}"  # noqa: S608
"""Of an index in another order: all of them are read and sorted. OFFSET 0 keeps the planner from looking for them in the
list's order among all jobs of the tenant."""
_FINISHED = _ORDERED.format(condition="finished_at IS NOT NULL AND {narrowed}")
_LINE = _FEW.format(condition="ready AND {narrowed}")
_PARKED = _ORDERED.format(condition="state = 'queued' AND NOT ready AND {narrowed}")
# as the conditions of the partial indexes have it, each of which holds what is in flight for all tenants
_IN_FLIGHT = _FEW.format(condition="(state = 'sending' OR state = 'unknown' OR state = 'running') AND {narrowed}")

_PARTS: dict[Way, tuple[str, ...]] = {
    Way.ALL: (_ORDERED.format(condition="true"),),
    Way.METADATA: (
        "SELECT job_id AS id, created_at FROM job_metadata WHERE tenant_id = $1"  # noqa: S608
        f" AND term = metadata_term(($7::text[])[1], ($8::text[])[1]) AND {_BOUNDS.format(id='job_id')}",
    ),
    Way.FINISHED: (_FINISHED.format(narrowed="state = ($5::text[])[1]"),),
    Way.QUEUED: tuple(part.format(narrowed="true") for part in (_LINE, _PARKED)),
    Way.IN_FLIGHT: (_IN_FLIGHT.format(narrowed="true"),),
    Way.MODEL: tuple(part.format(narrowed="model = $6") for part in (_FINISHED, _LINE, _PARKED, _IN_FLIGHT)),
}
"""The parts of each way. Each part has an index of its own, and no job is in two parts of a way."""

_NEWEST = "ORDER BY created_at DESC, id DESC LIMIT $9"


def _candidates(way: Way) -> str:
    parts = _PARTS[way]
    if len(parts) == 1:
        return f"{parts[0]} {_NEWEST}"
    united = " UNION ALL ".join(f"({part} {_NEWEST})" for part in parts)
    return f"SELECT id, created_at FROM ({united}) AS part {_NEWEST}"  # noqa: S608


# Which of the candidates are wanted, and where did the look at them end? On a full page that is of no interest.
# OFFSET 0 has them looked at one by one, in order, until the page is full.
_PAGE = f"""
WITH {_BOUND},
page AS MATERIALIZED (
    SELECT wanted.*
    FROM ({{candidates}}) AS candidate
    CROSS JOIN LATERAL (
        SELECT {SHOWN}
        FROM jobs AS job
        JOIN job_inputs AS input ON input.job_id = job.id
        LEFT JOIN job_results AS result ON result.job_id = job.id
        WHERE job.id = candidate.id
            AND ($5::text[] IS NULL OR job.state = ANY ($5::text[]))
            AND ($6::text IS NULL OR job.model = $6)
            AND NOT EXISTS (
                SELECT FROM unnest($7::text[], $8::text[]) AS member (key, value)
                WHERE input.metadata ->> member.key IS DISTINCT FROM member.value
            )
        OFFSET 0
    ) AS wanted
    ORDER BY candidate.created_at DESC, candidate.id DESC
    LIMIT $10
), last AS (
    SELECT id AS scanned_to FROM ({{candidates}}) AS candidate
    WHERE (SELECT count(*) FROM page) < $10
    OFFSET $9 - 1 LIMIT 1
)
SELECT page.*, last.scanned_to FROM page FULL JOIN last ON false
ORDER BY page.created_at DESC, page.id DESC
"""  # noqa: S608
_PAGES = {way: _PAGE.format(candidates=_candidates(way)) for way in Way}

# How many jobs has each metadata member, has the status, has the model, up to some?
_COUNTS = f"""
SELECT
    ARRAY(
        SELECT (
            SELECT count(*) FROM (
                SELECT FROM job_metadata AS term
                WHERE term.tenant_id = $1 AND term.term = metadata_term(wanted.key, wanted.value)
                LIMIT {COUNT_MAX}
            ) AS counted
        ) FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS wanted (key, value, place) ORDER BY place
    ) AS members,
    CASE WHEN $4::text IS NULL THEN NULL ELSE (
        SELECT count(*) FROM (
            SELECT FROM jobs AS job
            WHERE job.tenant_id = $1 AND job.finished_at IS NOT NULL AND job.state = $4 LIMIT {COUNT_MAX}
        ) AS counted
    ) END AS finished,
    CASE WHEN $5::text IS NULL THEN NULL ELSE (
        SELECT count(*) FROM (
            SELECT FROM jobs AS job
            WHERE job.tenant_id = $1 AND job.finished_at IS NOT NULL AND job.model = $5 LIMIT {COUNT_MAX}
        ) AS counted
    ) END AS model,
    (SELECT queued FROM queues WHERE subject_id = $1) AS queued,
    (SELECT in_flight FROM queues WHERE subject_id = $1) AS in_flight
"""  # noqa: S608


def ways_of(wanted: JobFilter) -> list[Way]:
    """The ways in that these filters have, one for each member of metadata first."""
    ways = [Way.METADATA] * len(wanted.metadata)
    if wanted.states is not None:
        ways.append(way_of_states(wanted.states))
    if wanted.model is not None:
        ways.append(Way.MODEL)
    return ways


def way_of_states(states: Sequence[str]) -> Way:
    """The way to the jobs in the states of one status."""
    if states == [State.QUEUED]:
        return Way.QUEUED
    return Way.FINISHED if State(states[0]) in FINAL else Way.IN_FLIGHT


def choose_way(ways: Sequence[Way], counts: Sequence[int]) -> int:
    """The place of the way with the fewest jobs, the first of equals."""
    return min(range(len(ways)), key=counts.__getitem__)


async def list_jobs(session: ReadSession, *, tenant_id: UUID, wanted: JobFilter, limit: int) -> Found:
    """A tenant's jobs, newest first, without input and output. One statement; with several filters two."""
    ways = ways_of(wanted)
    way = Way.ALL
    if ways:
        place = 0 if len(ways) == 1 else choose_way(ways, await _count(session, tenant_id, wanted, ways))
        way = ways[place]
        if way is Way.METADATA:
            wanted = replace(wanted, metadata=_led_by(wanted.metadata, place))
    # a way whose jobs are all wanted need not be followed further than the page
    exact = len(ways) < 2 and way is not Way.METADATA
    rows = await session.fetch(
        _PAGES[way],
        tenant_id,
        wanted.after,
        wanted.created_before,
        wanted.created_after,
        wanted.states,
        wanted.model,
        list(wanted.metadata.keys()),
        list(wanted.metadata.values()),
        limit if exact else SCAN_MAX,
        limit,
    )
    scanned_to = next((row["scanned_to"] for row in rows if row["id"] is None), None)
    return Found([row for row in rows if row["id"] is not None], scanned_to)


async def _count(session: ReadSession, tenant_id: UUID, wanted: JobFilter, ways: Sequence[Way]) -> list[int]:
    final = wanted.states[0] if Way.FINISHED in ways and wanted.states else None
    keys, values = list(wanted.metadata.keys()), list(wanted.metadata.values())
    row = await session.fetchrow(_COUNTS, tenant_id, keys, values, final, wanted.model)
    assert row is not None
    members = iter(row["members"])
    return [next(members) if way is Way.METADATA else row[way] or 0 for way in ways]


def _led_by(metadata: dict[str, str], place: int) -> dict[str, str]:
    """The same members with this one first."""
    led = list(metadata.items())
    return dict([led[place], *led[:place], *led[place + 1 :]])
