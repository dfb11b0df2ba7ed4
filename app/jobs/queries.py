"""Reads of jobs. Each names its tenant, but for those of the engine itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.core.db import ReadSession, Row
from app.jobs.schedule import SAMPLES_MAX

_RUN_TIMES = """
SELECT asked.model, models.run_seconds AS published, latest.samples
FROM unnest($1::text[]) AS asked (model)
LEFT JOIN models ON models.slug = asked.model
CROSS JOIN LATERAL (
    SELECT array_agg(run_seconds) AS samples FROM (
        SELECT run_seconds FROM jobs
        WHERE jobs.model = asked.model AND state = 'completed' AND run_seconds IS NOT NULL
        ORDER BY finished_at DESC LIMIT $2
    ) AS newest
) AS latest
"""


async def list_run_times(session: ReadSession, *, models: Sequence[str]) -> list[tuple[str, list[float], float | None]]:
    """For each model its latest run times in seconds, newest first, and the published mean."""
    rows = await session.fetch(_RUN_TIMES, list(models), SAMPLES_MAX)
    return [(row["model"], row["samples"] or [], row["published"]) for row in rows]


_STATUS = """
SELECT
    job.id, job.state, job.error_code, job.charged_micro, result.message, result.body,
    CASE WHEN job.state = 'completed' THEN (
        SELECT granted - posted - held FROM balances WHERE balances.tenant_id = job.tenant_id
    ) END AS available_micro
FROM jobs AS job LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = $1 AND job.tenant_id = $2
"""


async def find_result(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> Row | None:
    """What the upstream-shaped surface shows of a job: state, error, the upstream's last word, and of a completed one what
    its tenant was charged and has left."""
    return await session.fetchrow(_STATUS, job_id, tenant_id)


_STATE = "SELECT state FROM jobs WHERE id = $1 AND tenant_id = $2"


async def find_state(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> str | None:
    """The state alone."""
    state: str | None = await session.fetchval(_STATE, job_id, tenant_id)
    return state


async def list_finished(session: ReadSession, *, job_ids: Sequence[UUID]) -> list[UUID]:
    """Which of these have ended. For waiters whose push may have been lost; shows nobody anything."""
    sql = "SELECT id FROM jobs WHERE id = ANY($1::uuid[]) AND finished_at IS NOT NULL"
    return [row["id"] for row in await session.fetch(sql, list(job_ids))]


WEBHOOK_URL = "(SELECT hook.url FROM job_webhooks AS hook WHERE hook.job_id = job.id) AS webhook_url"

_SHOWN = f"""
    job.id, job.model, job.state, job.priority, job.created_at, job.submitted_at, job.started_at, job.finished_at,
    job.cancel_requested_at, job.deadline_at, job.attempt, job.polls, job.error_code, job.run_seconds,
    job.late_result, job.held_micro, job.charged_micro, input.metadata, result.message, {WEBHOOK_URL}
"""

_JOB = f"""
SELECT {_SHOWN}, input.body AS input, result.body
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = $1 AND job.tenant_id = $2
"""  # noqa: S608


async def find_job(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> Row | None:
    """All that the native API shows of a job."""
    return await session.fetchrow(_JOB, job_id, tenant_id)


_LIST = f"""
SELECT {_SHOWN}
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.tenant_id = $1
    AND (job.created_at, job.id) < (
        coalesce((SELECT created_at FROM jobs WHERE id = $2 AND tenant_id = $1), 'infinity'),
        coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND job.created_at < coalesce($3, 'infinity'::timestamptz)
    AND ($4::text[] IS NULL OR job.state = ANY($4::text[]))
    AND ($5::text IS NULL OR job.model = $5)
    AND ($6::timestamptz IS NULL OR job.created_at > $6)
    AND NOT EXISTS (
        SELECT FROM unnest($7::text[], $8::text[]) AS wanted (key, value)
        WHERE input.metadata ->> wanted.key IS DISTINCT FROM wanted.value
    )
ORDER BY job.created_at DESC, job.id DESC
LIMIT $9
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which of a tenant's jobs are wanted; all bounds are exclusive, None is no bound."""

    after: UUID | None
    states: list[str] | None
    model: str | None
    created_after: datetime | None
    created_before: datetime | None
    metadata: dict[str, str]


async def list_jobs(session: ReadSession, *, tenant_id: UUID, wanted: JobFilter, limit: int) -> list[Row]:
    """A tenant's jobs, newest first, without input and output."""
    return await session.fetch(
        _LIST,
        tenant_id,
        wanted.after,
        wanted.created_before,
        wanted.states,
        wanted.model,
        wanted.created_after,
        list(wanted.metadata.keys()),
        list(wanted.metadata.values()),
        limit,
    )


_OF_EVENTS = f"""
SELECT
    {_SHOWN}, octet_length(result.body) AS result_bytes,
    CASE WHEN octet_length(result.body) <= $2 THEN result.body END AS body
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = ANY ($1::uuid[])
"""  # noqa: S608


async def list_jobs_of_events(session: ReadSession, *, job_ids: Sequence[UUID], result_bytes_max: int) -> list[Row]:
    """All that events show of these jobs; larger results are only measured."""
    return await session.fetch(_OF_EVENTS, list(job_ids), result_bytes_max)


_MICRO_IN_FLIGHT = """
SELECT coalesce(sum(held_micro), 0)::bigint FROM jobs WHERE state = 'sending' OR state = 'unknown' OR state = 'running'
"""

# Was another submit accepted after this job had been refused for the sake of our account?
_ACCEPTED_SINCE = """
SELECT EXISTS (
    SELECT FROM attempts JOIN upstream_exchanges AS exchange ON exchange.at > attempts.settled_at
    WHERE attempts.job_id = $1 AND attempts.outcome = 'account'
        AND exchange.kind = 'submit' AND exchange.outcome = 'accepted'
)
"""


async def get_micro_in_flight(session: ReadSession) -> int:
    """What all jobs at the upstream may cost, and more than the upstream has reserved for them. One statement."""
    micro: int = await session.fetchval(_MICRO_IN_FLIGHT)
    return micro


async def find_accepted_since(session: ReadSession, *, job_id: UUID) -> bool:
    """Whether a submit was accepted since this job was refused for lack of credits. One statement."""
    accepted: bool = await session.fetchval(_ACCEPTED_SINCE, job_id)
    return accepted
