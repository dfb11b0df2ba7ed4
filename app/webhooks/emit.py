"""Events are written in the transaction of what they tell of, with a delivery for everybody who asked for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import orjson

from app.core import clock
from app.core.db import Session, columns
from app.core.guard import parse_url
from app.core.ids import new_id
from app.webhooks.decide import event_body
from app.webhooks.models import BY_DEFAULT, EventType


@dataclass(frozen=True, slots=True)
class JobEvent:
    """Something that happened to a job. sequence: rises with every event of the job."""

    tenant_id: UUID
    job_id: UUID
    type: EventType
    sequence: int


# Every end of a job is an event, numbered in the feed of its tenant: the row of the feed stays locked until the commit,
# so that nobody can see a number before all smaller ones. `job.processing` is one only where somebody asked for it.
_EMIT = """
WITH asked AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[])
        AS t (id, tenant_id, job_id, type, sequence)
), wanted AS MATERIALIZED (
    SELECT asked.id AS event_id, endpoint.id AS target_id, NULL AS url
    FROM asked
    JOIN webhook_endpoints AS endpoint ON endpoint.tenant_id = asked.tenant_id
        AND endpoint.deleted_at IS NULL AND asked.type = ANY (endpoint.events)
    JOIN webhook_targets AS target ON target.id = endpoint.id AND target.disabled_at IS NULL
    UNION ALL
    SELECT asked.id, hook.target_id, hook.url
    FROM asked JOIN job_webhooks AS hook ON hook.job_id = asked.job_id AND asked.type = ANY (hook.events)
), happened AS MATERIALIZED (
    SELECT * FROM asked
    WHERE (type <> 'job.processing' OR id IN (SELECT event_id FROM wanted))
        AND NOT EXISTS (
            SELECT FROM webhook_events AS told WHERE told.job_id = asked.job_id AND told.type = asked.type
        )
), counted AS (
    INSERT INTO event_feeds AS feed (tenant_id, last)
    SELECT tenant_id, count(*) FROM happened GROUP BY tenant_id ORDER BY tenant_id
    ON CONFLICT (tenant_id) DO UPDATE SET last = feed.last + excluded.last
    RETURNING tenant_id, last
), events AS (
    INSERT INTO webhook_events (id, tenant_id, position, job_id, sequence, type)
    SELECT
        happened.id, happened.tenant_id,
        counted.last + 1 - row_number() OVER (PARTITION BY happened.tenant_id ORDER BY happened.id DESC),
        happened.job_id, happened.sequence, happened.type
    FROM happened JOIN counted ON counted.tenant_id = happened.tenant_id
), targets AS (
    INSERT INTO webhook_targets (id, tenant_id, kind)
    SELECT DISTINCT wanted.target_id, happened.tenant_id, 'job_urls'
    FROM wanted JOIN happened ON happened.id = wanted.event_id
    WHERE wanted.url IS NOT NULL AND NOT EXISTS (SELECT FROM webhook_targets AS known WHERE known.id = wanted.target_id)
    ORDER BY wanted.target_id
    ON CONFLICT (id) DO NOTHING
), deliveries AS (
    INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, job_id, due_at, type, status, url)
    SELECT
        gen_random_uuid(), happened.tenant_id, happened.id, wanted.target_id, happened.job_id, now(), happened.type,
        'pending', wanted.url
    FROM wanted JOIN happened ON happened.id = wanted.event_id
    RETURNING id
)
SELECT count(*) FROM deliveries
"""


WANTS_START = """(jobs.started_at IS NULL AND (
    EXISTS (
        SELECT FROM webhook_endpoints AS endpoint
        WHERE endpoint.tenant_id = jobs.tenant_id AND endpoint.deleted_at IS NULL
            AND 'job.processing' = ANY (endpoint.events)
    )
    OR EXISTS (SELECT FROM job_webhooks AS hook WHERE hook.job_id = jobs.id AND 'job.processing' = ANY (hook.events))
))"""
"""Is the job still to be seen running, and does somebody want to be told? A condition of a statement about `jobs`."""


async def emit_job_events(session: Session, *, events: Sequence[JobEvent]) -> int:
    """Write these down; gives how many deliveries are due at once, for which somebody should ring. One statement.

    An event of the same job and type that is there already is left out.
    """
    rows = [(new_id(), event.tenant_id, event.job_id, event.type, event.sequence) for event in events]
    due: int = await session.fetchval(_EMIT, *columns(rows, 5))
    return due


# What happened to a tenant is told to those of its endpoints that asked for it, or to one of them alone.
_EMIT_OF_TENANT = """
WITH counted AS (
    INSERT INTO event_feeds AS feed (tenant_id, last) VALUES ($2, 1)
    ON CONFLICT (tenant_id) DO UPDATE SET last = feed.last + 1
    RETURNING last
), events AS (
    INSERT INTO webhook_events (id, tenant_id, position, sequence, type, body)
    SELECT $1, $2, last, 1, $3, $4 FROM counted
)
INSERT INTO webhook_deliveries (id, tenant_id, event_id, target_id, due_at, type, status)
SELECT gen_random_uuid(), $2, $1, endpoint.id, now(), $3, 'pending'
FROM webhook_endpoints AS endpoint JOIN webhook_targets AS target ON target.id = endpoint.id
WHERE endpoint.tenant_id = $2 AND endpoint.deleted_at IS NULL AND target.disabled_at IS NULL
    AND CASE WHEN $5::uuid IS NULL THEN $3 = ANY (endpoint.events) ELSE endpoint.id = $5 END
RETURNING id
"""


async def emit_tenant_event(
    session: Session, *, tenant_id: UUID, type_: EventType, data: dict[str, object], endpoint_id: UUID | None = None
) -> list[UUID]:
    """Write down what happened to a tenant, for those who asked, or for one endpoint; the deliveries' ids. One statement."""
    body = event_body(type_=type_, at=clock.now(), sequence=1, data=[orjson.dumps(data)])
    rows = await session.fetch(_EMIT_OF_TENANT, new_id(), tenant_id, type_, body, endpoint_id)
    return [row["id"] for row in rows]


@dataclass(frozen=True, slots=True)
class JobWebhook:
    """Whom to tell of one job, besides the tenant's endpoints, and of what."""

    url: str
    events: tuple[str, ...] = BY_DEFAULT

    def row(self, tenant_id: UUID) -> tuple[UUID, str, str]:
        """As the statement that stores the job asks for it: target, URL, events in a comma list."""
        return target_of_job_url(tenant_id, self.url), self.url, ",".join(self.events)


def target_of_job_url(tenant_id: UUID, url: str) -> UUID:
    """The id of the target that the URL of a single job belongs to: one for each server and tenant."""
    return uuid5(tenant_id, parse_url(url).origin)
