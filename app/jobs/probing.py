"""Probes: under a pause that the upstream has caused, one job at a time is sent to find out whether it is over.

The probe is a waiting job that is put back in line, and that the pause does not hold. It is claimed, sent and recorded
like any other. Its name in the pause's row is what keeps a second one from being sent beside it.
"""

from typing import NamedTuple
from uuid import UUID

from app.admission.forbidden import SOON_SECONDS, ProbeStep, probe_step
from app.admission.queries import submits_paused_beside
from app.core.db import ReadSession, Session
from app.jobs.line import NO_LIMIT
from app.jobs.transitions import WAS, Move, transition

PROBES_MAX = 50
"""Pauses that one sweep looks at."""
IDLE_SECONDS = 1.0
"""Between two looks for a job that waits for a pause."""

# Which pauses of the upstream's have a probe under way, or may have the next one? And what has become of the probe?
_PROBES = """
SELECT
    pause.id, pause.tenant_id, pause.model, pause.probe_job_id, job.state, job.tenant_id AS job_tenant_id,
    coalesce(job.submitted_at IS NOT NULL, false) AS accepted,
    extract(epoch FROM now() - pause.probe_at)::double precision AS overdue_seconds
FROM pauses AS pause LEFT JOIN jobs AS job ON job.id = pause.probe_job_id
WHERE pause.probe_at IS NOT NULL AND (pause.probe_job_id IS NOT NULL OR pause.probe_at <= now())
ORDER BY pause.probe_at LIMIT $1
"""

# Which job of those that this pause alone holds goes next? One whose tenant and key have a place in flight; first of
# tenants that the upstream has not refused of late, and of each tenant the first in its line.
_CANDIDATE = f"""
SELECT candidate.id
FROM queues AS place
JOIN api_keys AS key ON key.tenant_id = place.tenant_id
LEFT JOIN queues AS own ON own.subject_id = key.id
LEFT JOIN forbidden_answers AS told ON told.tenant_id = place.tenant_id AND told.model = $2
CROSS JOIN LATERAL (
    SELECT job.id, job.rank_at FROM jobs AS job
    WHERE job.key_id = key.id AND job.state = 'queued' AND job.due_at = 'infinity' AND job.model = $2
        AND (job.deadline_at IS NULL OR job.deadline_at > now())
        AND NOT {submits_paused_beside("$1")}
    ORDER BY job.rank_at LIMIT 1
) AS candidate
WHERE place.subject_id = place.tenant_id AND place.queued > place.ready
    AND ($3::uuid IS NULL OR place.tenant_id = $3)
    AND place.in_flight + place.claimed < coalesce(place.max_in_flight, {NO_LIMIT})
    AND coalesce(own.in_flight + own.ready < coalesce(own.max_in_flight, {NO_LIMIT}), true)
ORDER BY told.last_at NULLS FIRST, candidate.rank_at LIMIT 1
"""  # noqa: S608

# Is it still this pause's turn? Then the job is its probe, and stands in line again. The pause is locked before the job.
_SEND = f"""
WITH chosen AS (
    UPDATE pauses SET probe_job_id = $3, probe_at = now() + make_interval(secs => $4)
    WHERE id = $1 AND probe_at IS NOT NULL AND probe_job_id IS NOT DISTINCT FROM $2
    RETURNING probe_job_id
), aside AS (
    SELECT job.id, {WAS} FROM jobs AS job JOIN chosen ON chosen.probe_job_id = job.id
    WHERE job.state = 'queued' AND NOT job.ready AND job.due_at = 'infinity'
    FOR UPDATE OF job
), {transition(Move(rows="aside", sets="due_at = jobs.created_at, ready = true"))}
SELECT count(*) FROM moved
"""  # noqa: S608

# Nothing waits for this pause alone: look again a little later, after the others.
_POSTPONE = """
UPDATE pauses SET probe_job_id = NULL, probe_at = now() + make_interval(secs => $3)
WHERE id = $1 AND probe_at IS NOT NULL AND probe_job_id IS NOT DISTINCT FROM $2
"""


class Probe(NamedTuple):
    """A pause that the upstream has caused, and what is to be done about its probe. `job_tenant_id`: the probe's."""

    pause_id: int
    tenant_id: UUID | None
    model: str
    job_id: UUID | None
    job_tenant_id: UUID | None
    step: ProbeStep


async def list_probes(session: ReadSession) -> list[Probe]:
    """The pauses about whose probes something is to be done, PROBES_MAX at most. One statement."""
    probes = [
        Probe(
            row["id"],
            row["tenant_id"],
            row["model"],
            row["probe_job_id"],
            row["job_tenant_id"],
            probe_step(state=row["state"], accepted=row["accepted"], overdue_seconds=row["overdue_seconds"]),
        )
        for row in await session.fetch(_PROBES, PROBES_MAX)
    ]
    return [probe for probe in probes if probe.step is not ProbeStep.WAIT]


async def find_candidate(session: ReadSession, *, probe: Probe) -> UUID | None:
    """The job that would be the pause's next probe; None: none waits for this pause alone. One statement."""
    found: UUID | None = await session.fetchval(_CANDIDATE, probe.pause_id, probe.model, probe.tenant_id)
    return found


async def send_probe(session: Session, *, probe: Probe, job_id: UUID) -> bool:
    """Make this waiting job the pause's probe and put it in line; gives whether it was: another worker may have chosen
    meanwhile, or the job may be waiting no more. One statement."""
    return bool(await session.fetchval(_SEND, probe.pause_id, probe.job_id, job_id, SOON_SECONDS))


async def postpone_probe(session: Session, *, probe: Probe) -> None:
    """No job waits for this pause alone; look again in IDLE_SECONDS. One statement."""
    await session.execute(_POSTPONE, probe.pause_id, probe.job_id, IDLE_SECONDS)
