"""One job's whole story, for operators: what it carries, what was tried, what happened. Never its bodies."""

from dataclasses import dataclass
from uuid import UUID

from app.core.db import ReadSession, Row
from app.jobs.operations import JobNotFound

# An infinite due_at, of a job that waits for a pause to be lifted, has no place in RFC 3339: it is told by `paused`.
_JOB = """
SELECT
    job.id, job.tenant_id, tenant.name AS tenant, job.key_id, job.surface, job.model, job.state, job.priority,
    job.created_at, nullif(job.due_at, 'infinity') AS due_at, job.due_at = 'infinity' AS paused, job.deadline_at,
    job.lease_until, job.owner, job.fence, job.attempt, job.retries, job.takeovers, job.sent_at, job.submitted_at,
    job.started_at, job.gone_since, job.finished_at, job.cancel_requested_at, job.upstream_id, job.upstream_state,
    job.polls, job.error_code, result.message, job.run_seconds, job.detection_seconds, job.cost_micro,
    job.held_micro, job.charged_micro, job.idempotency_key, job.late_result, octet_length(input.body) AS input_bytes,
    octet_length(result.body) AS result_bytes, input.metadata
FROM jobs AS job
JOIN tenants AS tenant ON tenant.id = job.tenant_id
LEFT JOIN job_inputs AS input ON input.job_id = job.id
LEFT JOIN job_results AS result ON result.job_id = job.id
WHERE job.id = $1
"""

_EVENTS = "SELECT seq, at, from_state, to_state, reason FROM job_events WHERE job_id = $1 ORDER BY seq"

_ATTEMPTS = """
SELECT attempt, outcome, sent_at, settled_at, upstream_id, worker FROM attempts WHERE job_id = $1 ORDER BY attempt
"""

EXCHANGES_MAX = 1_000
"""The latest so many are told: a job that had trouble for a day has thousands."""

_EXCHANGES = """
SELECT * FROM (
    SELECT id, at, kind, attempt, status_code, outcome, duration_seconds, detail FROM upstream_exchanges
    WHERE job_id = $1 ORDER BY id DESC LIMIT $2
) AS latest ORDER BY id
"""

_OBSERVATIONS = """
SELECT at, attempt, upstream_id, worker FROM upstream_observations WHERE job_id = $1 ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Story:
    """A job's row, and the rows that hang on it, each in order."""

    job: Row
    events: list[Row]
    attempts: list[Row]
    exchanges: list[Row]
    observations: list[Row]


async def get_story(session: ReadSession, *, job_id: UUID) -> Story:
    """The story of any tenant's job; raises JobNotFound."""
    job = await session.fetchrow(_JOB, job_id)
    if job is None:
        raise JobNotFound
    return Story(
        job=job,
        events=await session.fetch(_EVENTS, job_id),
        attempts=await session.fetch(_ATTEMPTS, job_id),
        exchanges=await session.fetch(_EXCHANGES, job_id, EXCHANGES_MAX),
        observations=await session.fetch(_OBSERVATIONS, job_id),
    )
