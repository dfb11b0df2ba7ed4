"""Pauses submits and resumes them, for the engine and for operators."""

import re
from uuid import UUID

import asyncpg

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.core.errors import Conflict, Malformed, Problem
from app.pace.models import PauseReason, What
from app.pace.pauses.queries import Pause, find_pause
from app.tenants.queries import TenantNotFound

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
WORDS = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,500}")

_SQL = SqlFolder(__file__)
_PAUSE_SUBMITS = _SQL.query("pause_submits", bool)
_RESUME_SUBMITS = _SQL.query("resume_submits", float)
_LOCK_PAUSES = _SQL.command("lock_pauses")
_SET_PAUSE = _SQL.query("set_pause", Pause)
_LIFT_PAUSE = _SQL.query("lift_pause", Pause)


class PausedUntilRecovered(Conflict):
    """409: everything is paused because the database may be older than what was sent."""

    code = "database_restored"

    def __init__(self) -> None:
        super().__init__(
            "the database was restored and may be older than what was sent to the upstream: run `waystation recover`,"
            " which ends this pause"
        )


async def pause_submits(session: Session, *, reason: PauseReason, seconds: float, detail: str) -> bool:
    """Pause submits for `seconds` on all workers. Returns whether submits were not paused before. One statement."""
    first = await session.find_value(_PAUSE_SUBMITS, reason=reason, seconds=seconds, detail=detail[:500])
    return first is True


async def resume_submits(session: Session) -> float | None:
    """After an accepted submit, delete a pause that is over. Returns how many seconds ago it began, or None. One statement."""
    return await session.find_value(_RESUME_SUBMITS)


def checked_scope(model: str | None) -> str | None:
    """Return the model of a pause. Raises Malformed if it is not a slug."""
    if model is not None and SLUG.fullmatch(model) is None:
        raise Malformed(
            "model: expected the slug of a model", problems=[Problem("$.model", "expected the slug of a model")]
        )
    return model


async def lock_pauses(session: Session) -> None:
    """Lock out other changes of the pauses until the transaction ends. Claims still read them."""
    await session.run(_LOCK_PAUSES)


async def set_pause(
    session: Session, *, tenant_id: UUID | None, model: str | None, what: What, paused_by: str, note: str
) -> Pause:
    """Pause a scope and return the pause. None means every tenant or every model. Raises Malformed, TenantNotFound."""
    if WORDS.fullmatch(note) is None:
        expected = "expected at most 500 characters, none of them a control character"
        raise Malformed(f"note: {expected}", problems=[Problem("$.note", expected)])
    try:
        return await session.get_row(
            _SET_PAUSE, tenant_id=tenant_id, model=checked_scope(model), what=what, paused_by=paused_by, note=note
        )
    except asyncpg.ForeignKeyViolationError:
        raise TenantNotFound("no such tenant") from None


async def lift_pause(session: Session, *, tenant_id: UUID | None, model: str | None) -> Pause | None:
    """Lift the pause of exactly this scope, and return it, or None if there was none. Raises Malformed, PausedUntilRecovered."""
    lifted = await session.find_row(_LIFT_PAUSE, tenant_id=tenant_id, model=checked_scope(model))
    if lifted is None and await find_pause(session, tenant_id=tenant_id, model=model) is not None:
        raise PausedUntilRecovered
    return lifted
