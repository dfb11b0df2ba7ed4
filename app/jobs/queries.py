"""Reads of jobs. Each names its tenant, but for those of the engine itself."""

from collections.abc import Sequence
from uuid import UUID

from app.core.db import ReadSession, Row
from app.jobs.line import NO_LIMIT, PLACES_MAX, RANKS_MAX, RECENT_MAX, Line, Sent
from app.jobs.schedule import SAMPLES_MAX

_SAMPLES = """
SELECT asked.model, models.run_seconds AS published, latest.samples
FROM unnest($1::text[]) AS asked (model)
LEFT JOIN models ON models.slug = asked.model
CROSS JOIN LATERAL (
    SELECT array_agg(seconds) AS samples FROM (
        SELECT {seconds} AS seconds FROM jobs
        WHERE jobs.model = asked.model AND state = 'completed' AND {told} IS NOT NULL
        ORDER BY finished_at DESC LIMIT $2
    ) AS newest
) AS latest
"""
_RUN_TIMES = _SAMPLES.format(seconds="run_seconds", told="run_seconds")
_DURATIONS = _SAMPLES.format(seconds="extract(epoch FROM finished_at - sent_at)::double precision", told="sent_at")


async def list_run_times(session: ReadSession, *, models: Sequence[str]) -> list[tuple[str, list[float], float | None]]:
    """For each model its latest run times in seconds, newest first, and the published mean."""
    rows = await session.fetch(_RUN_TIMES, list(models), SAMPLES_MAX)
    return [(row["model"], row["samples"] or [], row["published"]) for row in rows]


async def list_durations(session: ReadSession, *, models: Sequence[str]) -> list[tuple[str, list[float], float | None]]:
    """For each model how long its latest jobs took, in seconds from being sent until their end was known, newest first;
    and the published mean."""
    rows = await session.fetch(_DURATIONS, list(models), SAMPLES_MAX)
    return [(row["model"], row["samples"] or [], row["published"]) for row in rows]


# A tenant's line: how much waits and is under way, its first jobs, those sent before its head, and what stops it. Where
# nobody waits, the latest jobs of all. Claimed jobs stand in line until they are sent.
_LINE = """
WITH line AS MATERIALIZED (
    SELECT rank_at, model, rank_at + priority * interval '1 minute' AS since
    FROM jobs WHERE tenant_id = $1 AND ready ORDER BY rank_at LIMIT $2
), head AS MATERIALIZED (
    SELECT since FROM line ORDER BY rank_at LIMIT 1
), before AS MATERIALIZED (
    SELECT model, sent_at, finished_at FROM jobs
    WHERE tenant_id = $1 AND created_at <= coalesce((SELECT since FROM head), now())
    ORDER BY created_at DESC LIMIT $4
)
SELECT
    extract(epoch FROM now())::double precision AS read_at,
    queue.queued, queue.ready, queue.claimed, queue.in_flight, queue.max_in_flight, queue.max_queued,
    ARRAY(SELECT extract(epoch FROM rank_at)::double precision FROM line ORDER BY rank_at) AS ranks,
    (
        SELECT extract(epoch FROM rank_at)::double precision FROM jobs
        WHERE tenant_id = $1 AND ready ORDER BY rank_at DESC LIMIT 1
    ) AS last_rank,
    ARRAY(SELECT model FROM line ORDER BY rank_at LIMIT $3) AS models,
    extract(epoch FROM now() - (SELECT since FROM head))::double precision AS waited_seconds,
    sent.models AS sent_models, sent.sent_at, sent.finished_at,
    ARRAY(
        SELECT coalesce(model, '') FROM pauses WHERE tenant_id IS NULL OR tenant_id = $1
    ) AS paused,
    ARRAY(
        SELECT model FROM pauses WHERE probe_at IS NOT NULL AND (tenant_id IS NULL OR tenant_id = $1)
    ) AS forbidden,
    CASE WHEN upstream.paused_reason IS NULL AND upstream.broken_at IS NULL
        THEN extract(epoch FROM upstream.resume_at - now())::double precision ELSE 'infinity'
    END AS upstream_paused_seconds
FROM queues AS queue
CROSS JOIN upstream_state AS upstream
CROSS JOIN (
    SELECT
        array_agg(model) AS models, array_agg(extract(epoch FROM sent_at)::double precision) AS sent_at,
        array_agg(extract(epoch FROM finished_at)::double precision) AS finished_at
    FROM before WHERE sent_at IS NOT NULL
) AS sent
WHERE queue.subject_id = $1
"""


async def read_line(session: ReadSession, *, tenant_id: UUID) -> Line:
    """The tenant's line as it stands. Reads at most RANKS_MAX + RECENT_MAX rows, however many wait."""
    row = await session.fetchrow(_LINE, tenant_id, RANKS_MAX, PLACES_MAX, RECENT_MAX)
    assert row is not None, "every tenant has a queue"
    sent = zip(row["sent_models"] or (), row["sent_at"] or (), row["finished_at"] or (), strict=True)
    return Line(
        read_at=row["read_at"],
        queued=row["queued"],
        ready=row["ready"],
        claimed=row["claimed"],
        in_flight=row["in_flight"],
        max_in_flight=NO_LIMIT if row["max_in_flight"] is None else row["max_in_flight"],
        max_queued=NO_LIMIT if row["max_queued"] is None else row["max_queued"],
        ranks=row["ranks"],
        last_rank=row["last_rank"] or 0.0,
        models=row["models"],
        waited_seconds=max(row["waited_seconds"] or 0.0, 0.0),
        recent=[Sent(*one) for one in sent],
        paused="" in row["paused"],
        paused_models=frozenset(row["paused"]) - {""},
        forbidden_models=frozenset(row["forbidden"]),
        upstream_paused_seconds=row["upstream_paused_seconds"],
    )


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

SHOWN = f"""
    job.id, job.model, job.state, job.priority, job.created_at, job.submitted_at, job.started_at, job.finished_at,
    job.cancel_requested_at, job.deadline_at, job.attempt, job.polls, job.error_code, job.run_seconds,
    job.sent_at, job.rank_at, job.ready, CASE WHEN job.due_at <> 'infinity' THEN job.due_at END AS due_at,
    now() AS read_at, job.late_result, job.held_micro, job.charged_micro, input.metadata, result.message, {WEBHOOK_URL}
"""

_JOB = f"""
SELECT {SHOWN}, input.body AS input, result.body
FROM jobs AS job
JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = $1 AND job.tenant_id = $2
"""  # noqa: S608


async def find_job(session: ReadSession, *, tenant_id: UUID, job_id: UUID) -> Row | None:
    """All that the native API shows of a job."""
    return await session.fetchrow(_JOB, job_id, tenant_id)


_OF_EVENTS = f"""
SELECT
    {SHOWN}, octet_length(result.body) AS result_bytes,
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


_OWNER = "SELECT extract(epoch FROM clock_timestamp())::double precision AS at, tenant_id FROM jobs WHERE id = $1"


async def find_owner(session: ReadSession, *, job_id: UUID) -> tuple[float, UUID]:
    """The tenant of a claimed job, and the database's clock: seconds since 1970. One statement."""
    row = await session.fetchrow(_OWNER, job_id)
    assert row is not None, "a claimed job has a row"
    return row["at"], row["tenant_id"]
