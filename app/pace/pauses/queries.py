"""Reads what is paused, and has the conditions by which statements obey pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.pace.models import What

_SQL = SqlFolder(__file__)
MAY_SUBMIT_PART = _SQL.part("may_submit")
MAY_POLL_PART = _SQL.part("may_poll")
SUBMITS_PAUSED_PART = _SQL.part("submits_paused")
SUBMITS_PAUSED_BESIDE_PART = _SQL.part("submits_paused_beside")
POLLS_PAUSED_PART = _SQL.part("polls_paused")
COUNT_GRANTED_PART = _SQL.part("count_granted")
ANYTHING_FORBIDDEN_PART = _SQL.part("anything_forbidden")
"""Parts for statements of other rooms. Each file says what it needs."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A row of `pauses`. Its scope is everything, a tenant, a model, or a model of a tenant."""

    tenant_id: UUID | None
    tenant_name: str | None
    model: str | None
    what: What
    since: datetime
    paused_by: str
    note: str
    probe_at: datetime | None
    """When one job is sent to find out whether the upstream's pause is over. None: an operator lifts the pause."""
    refusals: int
    """How many probes in a row were answered 403."""
    reason: str | None = None
    """`restored`: the database may be older than what was sent. None: any other pause."""

    def __post_init__(self) -> None:
        """Convert the text from Postgres."""
        object.__setattr__(self, "what", What(self.what))


class _PausedModel(NamedTuple):
    """A row of `list_paused_models.sql`."""

    model: str
    by_upstream: bool


_PAUSES = _SQL.query("list_pauses", Pause)
_PAUSE = _SQL.query("find_pause", Pause)
_PAUSED_MODELS = _SQL.query("list_paused_models", _PausedModel)


async def list_pauses(session: ReadSession) -> list[Pause]:
    """Return all pauses in force, the oldest first."""
    return await session.rows(_PAUSES)


async def find_pause(session: ReadSession, *, tenant_id: UUID | None, model: str | None) -> Pause | None:
    """Return the pause of exactly this scope, or None."""
    return await session.find_row(_PAUSE, tenant_id=tenant_id, model=model)


async def list_paused_models(session: ReadSession, *, models: Sequence[str], tenant_id: UUID) -> dict[str, bool]:
    """Return which models are paused for this tenant, and whether the upstream alone caused it. One statement."""
    rows = await session.rows(_PAUSED_MODELS, models=list(models), tenant_id=tenant_id)
    return {row.model: row.by_upstream for row in rows}
