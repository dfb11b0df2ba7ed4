"""What is paused; and the condition by which statements on jobs honour it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.admission.models import What
from app.core.db import ReadSession, Row
from app.core.sql import SqlFolder

_SQL = SqlFolder(__file__)
MAY_SUBMIT_PART = _SQL.part("may_submit")
MAY_POLL_PART = _SQL.part("may_poll")
SUBMITS_PAUSED_PART = _SQL.part("submits_paused")
SUBMITS_PAUSED_BESIDE_PART = _SQL.part("submits_paused_beside")
POLLS_PAUSED_PART = _SQL.part("polls_paused")
COUNT_GRANTED_PART = _SQL.part("count_granted")
ANYTHING_FORBIDDEN_PART = _SQL.part("anything_forbidden")
"""For statements of other rooms; each file says what it needs."""

PAUSE_COLUMNS = (
    "tenant_id, (SELECT tenants.name FROM tenants WHERE tenants.id = tenant_id) AS tenant_name, model, what, since,"
    " paused_by, note, probe_at, refusals, reason"
)
"""Of `pauses`, in a SELECT or after RETURNING."""

_MATCHES = (
    "(pause.tenant_id IS NULL OR pause.tenant_id = job.tenant_id) AND (pause.model IS NULL OR pause.model = job.model)"
)

SUBMITS_PAUSED = f"EXISTS (SELECT FROM pauses AS pause WHERE {_MATCHES} AND pause.probe_job_id IS DISTINCT FROM job.id)"  # noqa: S608
"""Whether submits of `job`, a row of jobs, are paused. The probe of a pause may be sent in spite of it."""


def submits_paused_beside(pause_id: str) -> str:
    """SQL for whether submits of `job` are paused by another pause than this one."""
    return f"EXISTS (SELECT FROM pauses AS pause WHERE {_MATCHES} AND pause.id <> {pause_id})"


POLLS_PAUSED = f"EXISTS (SELECT FROM pauses AS pause WHERE pause.what = 'all' AND {_MATCHES})"
"""Whether polls of `job` are paused."""

# Asked first whether there is any pause at all: once a statement, not once a row, and no join the planner could get wrong.
MAY_SUBMIT = f"((SELECT NOT EXISTS (SELECT FROM pauses)) OR NOT {SUBMITS_PAUSED})"  # noqa: S608
"""Whether no pause stops submits of `job`."""
MAY_POLL = f"((SELECT NOT EXISTS (SELECT FROM pauses WHERE what = 'all')) OR NOT {POLLS_PAUSED})"  # noqa: S608
"""Whether no pause stops polls of `job`."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A row of `pauses`; its scope is everything, a tenant, a model, or a model of a tenant."""

    tenant_id: UUID | None
    tenant_name: str | None
    model: str | None
    what: What
    since: datetime
    paused_by: str
    note: str
    probe_at: datetime | None
    """Of a pause that the upstream caused: when one job finds out whether it is over. None: an operator lifts it."""
    refusals: int
    """Probes in a row that were answered 403."""
    reason: str | None = None
    """`restored`: the database may be older than what was sent. None: any other pause."""


def pause_of(row: Row) -> Pause:
    """The pause in a row of PAUSE_COLUMNS."""
    return Pause(**{**row, "what": What(row["what"])})


async def list_pauses(session: ReadSession) -> list[Pause]:
    """All pauses in force, the oldest first."""
    rows = await session.fetch(f"SELECT {PAUSE_COLUMNS} FROM pauses ORDER BY since, id")  # noqa: S608
    return [pause_of(row) for row in rows]


async def find_pause(session: ReadSession, *, tenant_id: UUID | None, model: str | None) -> Pause | None:
    """The pause of exactly this scope."""
    row = await session.fetchrow(
        f"SELECT {PAUSE_COLUMNS} FROM pauses"  # noqa: S608
        " WHERE tenant_id IS NOT DISTINCT FROM $1 AND model IS NOT DISTINCT FROM $2",
        tenant_id,
        model,
    )
    return None if row is None else pause_of(row)


_PAUSED_MODELS = """
SELECT DISTINCT ON (model) model, probe_at IS NOT NULL AS by_upstream FROM pauses
WHERE model = ANY ($1::text[]) AND (tenant_id IS NULL OR tenant_id = $2)
ORDER BY model, probe_at NULLS FIRST
"""


async def list_paused_models(session: ReadSession, *, models: Sequence[str], tenant_id: UUID) -> dict[str, bool]:
    """Those of the models of which this tenant's submits wait for a pause of the model: whether the upstream alone has
    caused it. One statement."""
    rows = await session.fetch(_PAUSED_MODELS, list(models), tenant_id)
    return {row["model"]: row["by_upstream"] for row in rows}
