"""Probes: under a pause that the upstream has caused, one job at a time is sent to find out whether it is over.

The probe is a waiting job that is put back in line, and that the pause does not hold. It is claimed, sent and recorded
like any other. Its name in the pause's row is what keeps a second one from being sent beside it.
"""

from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder
from app.jobs.estimates.line import NO_LIMIT
from app.pace.pauses.forbidden import SOON_SECONDS, ProbeStep, probe_step
from app.pace.pauses.queries import SUBMITS_PAUSED_BESIDE_PART

PROBES_MAX = 50
"""Pauses that one sweep looks at."""
IDLE_SECONDS = 1.0
"""Between two looks for a job that waits for a pause."""


class Probe(NamedTuple):
    """A pause that the upstream has caused, and what is to be done about its probe. `job_tenant_id`: the probe's."""

    pause_id: int
    tenant_id: UUID | None
    model: str
    job_id: UUID | None
    job_tenant_id: UUID | None
    step: ProbeStep


class _ProbeRow(NamedTuple):
    """As `list_probes.sql` gives a pause and the job that is its probe."""

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
    """The pauses about whose probes something is to be done, PROBES_MAX at most. One statement."""
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
    """The job that would be the pause's next probe; None: none waits for this pause alone. One statement."""
    return await session.find_value(
        _FIND_PROBE_CANDIDATE,
        pause_id=probe.pause_id,
        model=probe.model,
        tenant_id=probe.tenant_id,
        no_limit=NO_LIMIT,
    )


async def send_probe(session: Session, *, probe: Probe, job_id: UUID) -> bool:
    """Make this waiting job the pause's probe and put it in line; gives whether it was: another worker may have chosen
    meanwhile, or the job may be waiting no more. One statement."""
    sent = await session.get_value(
        _SEND_PROBE, pause_id=probe.pause_id, probe_job_id=probe.job_id, job_id=job_id, seconds=SOON_SECONDS
    )
    return sent > 0


async def postpone_probe(session: Session, *, probe: Probe) -> None:
    """No job waits for this pause alone; look again in IDLE_SECONDS. One statement."""
    await session.run(_POSTPONE_PROBE, pause_id=probe.pause_id, probe_job_id=probe.job_id, idle_seconds=IDLE_SECONDS)
