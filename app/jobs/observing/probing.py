"""Probes: during a pause that the upstream has caused, one job at a time is sent to find out whether the pause may end.

The probe is a parked job that becomes ready and that the pause does not hold. It is claimed, sent and recorded like any other
job. Its id in the pause's row prevents a second probe at the same time.
"""

from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.jobs.estimates.line import NO_LIMIT
from app.pace.pauses.forbidden import SOON_SECONDS, ProbeStep, probe_step
from app.pace.pauses.queries import SUBMITS_PAUSED_BESIDE_PART

PROBES_MAX = 50
"""Pauses that one sweep examines."""
IDLE_SECONDS = 1.0
"""Time between two searches for a job that waits for a pause."""


class Probe(NamedTuple):
    """A pause that the upstream has caused, and the next step of its probe. `job_id`, `job_tenant_id`: of the probe."""

    pause_id: int
    tenant_id: UUID | None
    model: str
    job_id: UUID | None
    job_tenant_id: UUID | None
    step: ProbeStep


class _ProbeRow(NamedTuple):
    id: int
    tenant_id: UUID | None
    model: str
    probe_job_id: UUID | None
    state: str | None
    job_tenant_id: UUID | None
    accepted: bool
    overdue_seconds: float


_SQL = SqlFolder(__file__)
_LIST_PROBES = _SQL.query("list_probes", _ProbeRow)
_FIND_PROBE_CANDIDATE = _SQL.query(
    "find_probe_candidate", UUID, parts={"submits_paused_beside": SUBMITS_PAUSED_BESIDE_PART}
)
_SEND_PROBE = _SQL.query("send_probe", int)
_POSTPONE_PROBE = _SQL.command("postpone_probe")


async def list_probes(session: ReadSession) -> list[Probe]:
    """Return the pauses whose probes need a step now, PROBES_MAX at most. One statement."""
    probes = [
        Probe(
            row.id,
            row.tenant_id,
            row.model,
            row.probe_job_id,
            row.job_tenant_id,
            probe_step(state=row.state, accepted=row.accepted, overdue_seconds=row.overdue_seconds),
        )
        for row in await session.rows(_LIST_PROBES, probes_max=PROBES_MAX)
    ]
    return [probe for probe in probes if probe.step is not ProbeStep.WAIT]


async def find_candidate(session: ReadSession, *, probe: Probe) -> UUID | None:
    """Return the job for the pause's next probe, or None if no job waits only for this pause. One statement."""
    return await session.find_value(
        _FIND_PROBE_CANDIDATE,
        pause_id=probe.pause_id,
        model=probe.model,
        tenant_id=probe.tenant_id,
        no_limit=NO_LIMIT,
    )


async def send_probe(session: Session, *, probe: Probe, job_id: UUID) -> bool:
    """Make this parked job the pause's probe, and make it ready. Returns False if another worker has chosen a probe meanwhile,
    or if the job is no longer parked. One statement."""
    sent = await session.get_value(
        _SEND_PROBE, pause_id=probe.pause_id, probe_job_id=probe.job_id, job_id=job_id, seconds=SOON_SECONDS
    )
    return sent > 0


async def postpone_probe(session: Session, *, probe: Probe) -> None:
    """Note that no job waits only for this pause. The next search is in IDLE_SECONDS. One statement."""
    await session.run(_POSTPONE_PROBE, pause_id=probe.pause_id, probe_job_id=probe.job_id, idle_seconds=IDLE_SECONDS)
