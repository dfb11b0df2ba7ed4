"""Pausing submits and going on: by the engine when the upstream asks for it, and by operators."""

import re
from uuid import UUID

import asyncpg

from app.admission.models import PauseReason, What
from app.admission.queries import PAUSE_COLUMNS, Pause, find_pause, pause_of
from app.core.db import Session
from app.core.errors import Conflict, Malformed, Problem
from app.tenants.queries import TenantNotFound

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
WORDS = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,500}")

# A pause for the account outranks one for throttling, and words are kept until it is over.
_PAUSE = """
UPDATE upstream_state AS state SET
    paused_until = greatest(state.paused_until, now() + make_interval(secs => $2)),
    paused_since = CASE WHEN state.paused_reason IS DISTINCT FROM $1 THEN now() ELSE state.paused_since END,
    paused_reason = $1, paused_detail = $3, pauses = least(state.pauses + 1, 1000), updated_at = now()
FROM (SELECT id, paused_reason FROM upstream_state FOR UPDATE) AS before
WHERE state.id = before.id AND (state.paused_reason IS DISTINCT FROM 'account' OR $1 = 'account')
RETURNING before.paused_reason IS NULL
"""

_RESUME = """
UPDATE upstream_state AS state SET
    paused_until = NULL, paused_since = NULL, paused_reason = NULL, paused_detail = NULL, pauses = 0, updated_at = now()
FROM (
    SELECT id, paused_since FROM upstream_state WHERE paused_reason IS NOT NULL AND paused_until <= now() FOR UPDATE
) AS before
WHERE state.id = before.id
RETURNING extract(epoch FROM now() - before.paused_since)::double precision
"""


class PausedUntilRecovered(Conflict):
    """409: everything is paused because the database may be older than what was sent."""

    code = "database_restored"

    def __init__(self) -> None:
        super().__init__(
            "the database may be older than what was sent to the upstream, and would send it again: expected `waystation"
            " recover`, which ends this pause"
        )


async def pause_submits(session: Session, *, reason: PauseReason, seconds: float, detail: str) -> bool:
    """Submits wait for so long, on all workers; gives whether none of this kind waited before. One statement."""
    return bool(await session.fetchval(_PAUSE, reason, seconds, detail[:500]))


async def resume_submits(session: Session) -> float | None:
    """A submit has got through: forget a pause that is over; gives how many seconds ago it began, None where there was
    none. One statement."""
    seconds: float | None = await session.fetchval(_RESUME)
    return seconds


# The last word about a scope holds, and the first instant is kept. What an operator says ends the upstream's own pause.
_SET = f"""
INSERT INTO pauses (tenant_id, model, what, paused_by, note) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT ON CONSTRAINT pauses_scope_key DO UPDATE SET
    what = excluded.what, paused_by = excluded.paused_by, note = excluded.note, probe_at = NULL, probe_job_id = NULL,
    refusals = 0
RETURNING {PAUSE_COLUMNS}
"""  # noqa: S608

_LIFT = f"""
DELETE FROM pauses WHERE tenant_id IS NOT DISTINCT FROM $1 AND model IS NOT DISTINCT FROM $2 AND reason IS NULL
RETURNING {PAUSE_COLUMNS}
"""  # noqa: S608


def checked_scope(model: str | None) -> str | None:
    """The model of a pause, or Malformed."""
    if model is not None and SLUG.fullmatch(model) is None:
        raise Malformed("model: not a slug", problems=[Problem("$.model", "expected the slug of a model")])
    return model


async def lock_pauses(session: Session) -> None:
    """One change of the pauses at a time, until the transaction ends; claims go on reading them."""
    await session.execute("LOCK TABLE pauses IN SHARE ROW EXCLUSIVE MODE")


async def set_pause(
    session: Session, *, tenant_id: UUID | None, model: str | None, what: What, paused_by: str, note: str
) -> Pause:
    """Pause a scope; None is every tenant, every model. Raises Malformed, TenantNotFound."""
    if WORDS.fullmatch(note) is None:
        expected = "expected at most 500 characters, none of them a control character"
        raise Malformed(f"note: {expected}", problems=[Problem("$.note", expected)])
    try:
        row = await session.fetchrow(_SET, tenant_id, checked_scope(model), what, paused_by, note)
    except asyncpg.ForeignKeyViolationError:
        raise TenantNotFound("no such tenant") from None
    assert row is not None, "INSERT … RETURNING gives its row"
    return pause_of(row)


async def lift_pause(session: Session, *, tenant_id: UUID | None, model: str | None) -> Pause | None:
    """Lift the pause of exactly this scope; gives it, or None where there was none. Raises PausedUntilRecovered."""
    row = await session.fetchrow(_LIFT, tenant_id, checked_scope(model))
    if row is None:
        kept = await find_pause(session, tenant_id=tenant_id, model=model)
        if kept is not None:
            raise PausedUntilRecovered
    return None if row is None else pause_of(row)
