"""Reads of our books, by the page or the window; each is answered by an index."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from app.core.clock import rfc3339
from app.core.credits import show_credits
from app.core.db import ReadSession, Row
from app.core.ids import show_id
from app.jobs.models import State
from app.ops.money import FOLD
from app.reconciliation.decide import Explained, OurJob
from app.reconciliation.models import OF_HISTORY, OPEN

CANDIDATES_MAX = 500
NEAR = timedelta(seconds=120)
"""How far our clock and the upstream's may lie apart, and how long a submit takes."""
INPUT_BYTES_MAX = 1024 * 1024

_JOB = """
    job.id, job.tenant_id, job.key_id, job.model, job.state, job.upstream_id, job.sent_at, job.finished_at,
    job.cost_micro, job.held_micro, job.charged_micro, job.price_rule, job.markup_micro
"""

# Whose requests are these? A job's own, or one that came too late to be it.
_OWNERS = f"""
SELECT asked.upstream_id AS asked_id, false AS late, {_JOB}
FROM unnest($1::text[]) AS asked (upstream_id) JOIN jobs AS job ON job.upstream_id = asked.upstream_id
UNION ALL
SELECT seen.upstream_id, true, {_JOB}
FROM upstream_observations AS seen JOIN jobs AS job ON job.id = seen.job_id
WHERE seen.upstream_id = ANY($1::text[]) AND job.upstream_id IS DISTINCT FROM seen.upstream_id
"""  # noqa: S608

# Which jobs of this model were sent at about that time?
_NEAR = f"""
SELECT {_JOB}, input.body
FROM jobs AS job JOIN job_inputs AS input ON input.job_id = job.id
WHERE job.sent_at >= $1 AND job.sent_at < $2 AND job.model = $3 AND octet_length(input.body) <= $4
LIMIT $5
"""  # noqa: S608

# Which ended jobs, whose requests they must know, were sent in this window?
_SENT = """
SELECT id, upstream_id FROM jobs
WHERE sent_at >= $1 AND sent_at < $2 AND upstream_id IS NOT NULL AND finished_at < $3
"""

# What can have been charged between two readings? A job is charged at its end upstream, which lies before we knew of it:
# how long, we have bounded.
_EXPLAINED = """
WITH ended AS (
    SELECT
        cost_micro, held_micro,
        greatest(sent_at, coalesce(finished_at - make_interval(secs => detection_seconds), sent_at))
            - make_interval(secs => $5) AS charged_from,
        finished_at + make_interval(secs => $5) AS charged_to
    FROM jobs
    WHERE finished_at >= $1::timestamptz - make_interval(secs => $5) AND finished_at <= now()
        AND upstream_id IS NOT NULL AND (cost_micro > 0 OR (cost_micro IS NULL AND error_code IS DISTINCT FROM 'upstream_failed'))
), of_ended AS (
    SELECT
        coalesce(sum(cost_micro) FILTER (WHERE charged_from > $2 AND charged_to <= $3), 0) AS least,
        coalesce(sum(coalesce(cost_micro, held_micro)), 0) AS most,
        count(*) AS number
    FROM ended WHERE charged_to > $1 AND charged_from <= $4
), of_others AS (
    SELECT coalesce(sum(held_micro), 0) AS most FROM jobs WHERE state IN ('sending', 'unknown', 'running')
), of_exposures AS (
    SELECT coalesce(sum(amount), 0) AS most, count(*) AS number FROM exposures
    WHERE at >= $1::timestamptz - make_interval(secs => $5) AND reason IN ('second_start', 'unknown')
)
SELECT
    of_ended.least::bigint AS least, (of_ended.most + of_others.most + of_exposures.most)::bigint AS most,
    of_ended.number + of_exposures.number AS number
FROM of_ended, of_others, of_exposures
"""


# Whose balance is not what its transfers add up to? By the same sum as `verify`.
_DIFFERING = f"""
SELECT
    balance.tenant_id, balance.granted - balance.posted - balance.held AS available,
    (coalesce(fold.granted, 0) - coalesce(fold.posted, 0) - coalesce(fold.held, 0))::bigint AS fold
FROM balances AS balance LEFT JOIN ({FOLD}) AS fold ON fold.tenant_id = balance.tenant_id
WHERE (balance.granted, balance.posted, balance.held)
    IS DISTINCT FROM (coalesce(fold.granted, 0), coalesce(fold.posted, 0), coalesce(fold.held, 0))
"""  # noqa: S608

_OPEN = f"""
SELECT kind, subject, job_id FROM discrepancies WHERE {OPEN} AND kind = ANY($1::text[]) ORDER BY last_seen_at LIMIT $2
"""  # noqa: S608

_OPEN_CREDITS = f"""
SELECT discrepancy.subject, before.id, before.asked_at, before.at, before.paid_micro + before.free_micro AS total
FROM discrepancies AS discrepancy
JOIN credit_readings AS reading ON reading.id = discrepancy.subject::bigint
JOIN credit_readings AS before ON before.id = reading.previous_id
WHERE {OPEN} AND discrepancy.kind = 'credits'
"""  # noqa: S608

_SHOWN = f"""
SELECT discrepancy.*, tenant.name AS tenant
FROM discrepancies AS discrepancy LEFT JOIN tenants AS tenant ON tenant.id = discrepancy.tenant_id
WHERE {OPEN} ORDER BY discrepancy.first_seen_at DESC, discrepancy.id DESC LIMIT $1
"""  # noqa: S608

_COUNT_OPEN = f"SELECT count(*) FROM discrepancies WHERE {OPEN}"  # noqa: S608


async def list_differing(session: ReadSession) -> list[tuple[UUID, int, int]]:
    """(tenant, available by its balance, available by its transfers) where these are not the same. One statement, which
    reads all transfers."""
    return [(row["tenant_id"], row["available"], row["fold"]) for row in await session.fetch(_DIFFERING)]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was left of the company's credits, asked for and told between two instants."""

    id: int
    asked_at: datetime
    at: datetime
    total: int


async def list_owners(session: ReadSession, *, upstream_ids: Sequence[str]) -> dict[str, tuple[OurJob, bool]]:
    """By upstream id: the job whose request it is, and whether it came too late to be the job's own."""
    rows = await session.fetch(_OWNERS, list(upstream_ids))
    return {row["asked_id"]: (_our_job(row), row["late"]) for row in rows}


async def list_candidates(session: ReadSession, *, model: str, at: datetime) -> list[tuple[OurJob, Any]]:
    """Jobs of the model that were sent at about that time, each with its parameters; at most CANDIDATES_MAX."""
    rows = await session.fetch(_NEAR, at - NEAR, at + NEAR, model, INPUT_BYTES_MAX, CANDIDATES_MAX)
    return [(_our_job(row), json.loads(row["body"], parse_float=Decimal)) for row in rows]


async def list_sent(
    session: ReadSession, *, since: datetime, until: datetime, ended_before: datetime
) -> list[tuple[UUID, str]]:
    """(job, upstream id) of the jobs sent in [since, until) that have ended. Callers ask for minutes, not for days."""
    return [(row["id"], row["upstream_id"]) for row in await session.fetch(_SENT, since, until, ended_before)]


async def find_reading(session: ReadSession, *, reading_id: int | None = None) -> Reading | None:
    """That reading, or the last one."""
    row = await session.fetchrow(
        "SELECT id, asked_at, at, paid_micro + free_micro AS total FROM credit_readings"
        " WHERE $1::bigint IS NULL OR id = $1 ORDER BY id DESC LIMIT 1",
        reading_id,
    )
    return None if row is None else Reading(row["id"], row["asked_at"], row["at"], row["total"])


async def explain_spent(
    session: ReadSession, *, before: Reading, asked_at: datetime, at: datetime, slack_seconds: float
) -> Explained:
    """What our costs between a reading and the newest come to. `slack_seconds`: how far we may be out about the instant
    at which the upstream charged."""
    row = await session.fetchrow(_EXPLAINED, before.asked_at, before.at, asked_at, at, slack_seconds)
    assert row is not None
    return Explained(row["least"], row["most"], row["number"])


async def list_open(session: ReadSession, *, most: int) -> list[Row]:
    """Open discrepancies over requests of the history (kind, subject, job_id), those looked at longest ago first."""
    return await session.fetch(_OPEN, list(OF_HISTORY), most)


async def list_open_credits(session: ReadSession) -> list[tuple[str, Reading]]:
    """(subject, the reading before it) of the open discrepancies over the company's credits."""
    rows = await session.fetch(_OPEN_CREDITS)
    return [(row["subject"], Reading(row["id"], row["asked_at"], row["at"], row["total"])) for row in rows]


async def list_shown(session: ReadSession, *, most: int) -> list[dict[str, Any]]:
    """Open discrepancies for people, the newest first."""
    return [
        {
            "number": row["id"],
            "kind": row["kind"],
            "job": row["job_id"] and show_id("job", row["job_id"]),
            "tenant": row["tenant"],
            "upstream_id": row["upstream_id"],
            "model": row["model"],
            "ours": None if row["ours_micro"] is None else show_credits(row["ours_micro"]),
            "theirs": None if row["theirs_micro"] is None else show_credits(row["theirs_micro"]),
            "happened_at": rfc3339(row["happened_at"]),
            "first_seen_at": rfc3339(row["first_seen_at"]),
        }
        for row in await session.fetch(_SHOWN, most)
    ]


async def count_open(session: ReadSession) -> int:
    """How many discrepancies are open."""
    number: int = await session.fetchval(_COUNT_OPEN)
    return number


def _our_job(row: Row) -> OurJob:
    return OurJob(
        id=row["id"],
        tenant_id=row["tenant_id"],
        key_id=row["key_id"],
        model=row["model"],
        state=State(row["state"]),
        upstream_id=row["upstream_id"],
        sent_at=row["sent_at"],
        finished_at=row["finished_at"],
        cost=row["cost_micro"],
        held=row["held_micro"],
        charged=row["charged_micro"],
        price_rule=row["price_rule"],
        markup_micro=row["markup_micro"],
    )
